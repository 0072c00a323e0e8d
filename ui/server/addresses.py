"""How the studio may be reached: its names, the proxies that are believed, who may frame it. The operator's word alone.

A page of another site can send requests here in two ways. It sends them to our address: then the browser names its own
origin. Or its own name is made to point at our address (DNS rebinding): then the name in `Host` is not one of ours.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import InvalidInput

HOSTS, ORIGINS, PROXIES = "RESOLUTE_HOSTS", "RESOLUTE_ORIGINS", "FORWARDED_ALLOW_IPS"
NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
ORIGIN = re.compile(r"https?://[a-z0-9_.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
FRAMED_BY_A_SPACE = "https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Addresses:
    """`hosts` are names beside localhost and addresses in figures; `*.` stands for whatever is before a dot.

    `origins` are those of pages that are ours though their host is not the request's; `proxies` whose forwarded headers
    are believed, as addresses, networks or `*`, nobody's where empty; `space` is true on a Space.
    """

    hosts: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()
    proxies: str = ""
    space: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, host: str = "") -> Addresses:
        """What the operator has set; `host` is where the server listens. Raises InvalidInput."""
        space, outer = bool(environ.get("SPACE_ID")), environ.get("SPACE_HOST", "").lower()
        named = _words(environ, HOSTS, NAME, "a host's name, without a scheme or a port, as studio.example.org")
        given = [name for name in (host.lower(), outer or "*.hf.space" * space) if name and not is_address(name)]
        origins = _words(environ, ORIGINS, ORIGIN, "an origin, as https://studio.example.org")
        return cls(
            hosts=(*named, *given),
            origins=frozenset([*origins, *([f"https://{outer}"] if outer else [])]),
            # Nothing but its own outer server reaches a Space.
            proxies=environ.get(PROXIES, "*" if space else "").strip(),
            space=space,
        )

    def answers_to(self, host: str) -> bool:
        """Whether a `Host` header names this server. An address in figures always may: rebinding needs a name."""
        name = host_name(host)
        if name is None:
            return False
        return (
            name == "localhost"
            or is_address(name)
            or any(name == one or (one.startswith("*.") and name.endswith(one[1:])) for one in self.hosts)
        )

    def own_page(self, origin: str, host: str, scheme: str) -> bool:
        """Whether a page of `origin` is one of ours, for a request to `host`."""
        theirs, _, place = origin.lower().partition("://")
        if origin.lower() in self.origins:
            return True
        return bool(place) and place == host.lower() and not (scheme == "https" and theirs != "https")

    @property
    def ancestors(self) -> str:
        """Who may have the page in a frame, as a content security policy says it."""
        return f"frame-ancestors 'self' {FRAMED_BY_A_SPACE}" if self.space else "frame-ancestors 'self'"


def host_name(host: str) -> str | None:
    """The name or address in a `Host` header, without its port; None where it is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(?::\d{1,5})?", host)
    return found[1].strip("[]").lower().removesuffix(".") if found else None


def is_address(name: str) -> bool:
    """Whether it is an address in figures, of IPv4 or IPv6."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _words(environ: Mapping[str, str], key: str, legal: re.Pattern[str], what: str) -> list[str]:
    words = environ.get(key, "").lower().replace(",", " ").split()
    for word in words:
        if not legal.fullmatch(word):
            raise InvalidInput(key, f"{key} holds {word[:80]!r}; each must be {what}.")
    return words
