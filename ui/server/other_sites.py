"""Other sites cannot read or act: whose forwarded headers are believed, which hosts are ours, who may send and frame.

`Answers` stands outermost, then `Proxies`, `Hosts` and `OwnPages`. Gradio would let every origin read its answers;
that is switched off in `web_app`. Each is a layer between the network and the page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ui.server.addresses import HOSTS, Addresses
from ui.server.border import refuse

App = Callable[..., Awaitable[None]]
Scope = MutableMapping[str, Any]
READING = ("GET", "HEAD", "OPTIONS")
OTHER_SITES = ("cross-site", "same-site")  # another port of this machine is the same site, and another's page
FORWARDED = (b"forwarded", b"x-real-ip", b"x-gradio-server")
MAX_HEADERS = 32_768  # bytes of all headers together
# As strict as Gradio's page allows: its scripts and styles stand in it, it makes functions of the widgets' texts, and
# sets its own base. Everything else was tried without.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'; worker-src 'none'; "
    "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'none'"
)
WRITTEN_NOW = ("text/html", "application/json")  # kinds of answers that are kept nowhere


class Answers:
    """Says on every answer who may frame and embed it, what it may load, and that it is what it says it is."""

    def __init__(self, app: App, addresses: Addresses) -> None:
        self.app, self.ancestors = app, addresses.ancestors

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._say(MutableHeaders(scope=message))
            await send(message)

        await self.app(scope, receive, told)

    def _say(self, headers: MutableHeaders) -> None:
        own = "content-security-policy" in headers  # a job's page brings a stricter one
        headers.append("Content-Security-Policy", self.ancestors if own else f"{POLICY}; {self.ancestors}")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        # Not no-referrer: browsers would then send the origin of forms as null, as that of nobody.
        headers.setdefault("Referrer-Policy", "same-origin")
        if headers.get("content-type", "").startswith(WRITTEN_NOW):
            headers.setdefault("Cache-Control", "no-store")


class Proxies:
    """Takes forwarded headers off a request, but where they come from a proxy that the operator has named."""

    def __init__(self, app: App, addresses: Addresses) -> None:
        self.app = app
        self.behind = ProxyHeadersMiddleware(app, trusted_hosts=addresses.proxies)
        self.any = bool(addresses.proxies)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        believed = self.any and (scope.get("client") or ("",))[0] in self.behind.trusted_hosts
        scope = dict(scope) | {"headers": _forwarded(scope["headers"]) if believed else _direct(scope["headers"])}
        await (self.behind if believed else self.app)(scope, receive, send)  # type: ignore[arg-type]


def _direct(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name not in FORWARDED and not name.startswith(b"x-forwarded-")]


def _forwarded(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """With the host that the browser asked for in `Host`, for all that follows."""
    kept = [(name, value) for name, value in headers if name not in FORWARDED and name != b"x-forwarded-host"]
    asked = [value.split(b",")[0].strip() for name, value in headers if name == b"x-forwarded-host"]
    if not asked:
        return kept
    return [(b"host", asked[0]), (b"x-forwarded-host", asked[0]), *((n, v) for n, v in kept if n != b"host")]


class Hosts:
    """Refuses requests that name another host than this server's: a name that was made to point here is not ours."""

    def __init__(self, app: App, addresses: Addresses) -> None:
        self.app, self.addresses = app, addresses

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            await _refused(scope, send, 431, f"the headers are longer than {MAX_HEADERS} bytes")
        # Browsers always send a host; a probe that speaks HTTP/1.0 may not.
        elif all(self.addresses.answers_to(value.decode("latin-1")) for name, value in headers if name == b"host"):
            await self.app(scope, receive, send)
        else:
            await _refused(scope, send, 421, f"this server does not answer to that host; {HOSTS} names its hosts")


class OwnPages:
    """Refuses what a page of another site makes a visitor's browser send: it uploads, runs and deletes nothing.

    Browsers name the page's origin with every such request. Programs, which name none, are let through.
    """

    def __init__(self, app: App, addresses: Addresses) -> None:
        self.app, self.addresses = app, addresses

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        changing = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in READING)
        if changing and not self._ours(scope):
            await _refused(scope, send, 403, "a page of another site sent this")
        else:
            await self.app(scope, receive, send)

    def _ours(self, scope: Scope) -> bool:
        told = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        if any(name == b"sec-fetch-site" and value in OTHER_SITES for name, value in told):
            return False
        host = next((value for name, value in told if name == b"host"), "")
        scheme = scope.get("scheme", "http")
        return all(self.addresses.own_page(value, host, scheme) for name, value in told if name == b"origin")


async def _refused(scope: Scope, send: Any, status: int, error: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await refuse(send, status, error)
