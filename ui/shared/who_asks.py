"""Who sent a request: by a signed cookie, or by a login's name, as far as either is there."""

from __future__ import annotations

from typing import Any

from starlette.requests import cookie_parser

from engine.jobs.service import Jobs
from engine.jobs.visitors import NOBODY, Visitor

MAX_COOKIES = 8192  # characters of all cookies that are looked at


def visitor_of(request: Any, jobs: Jobs) -> Visitor:
    """Whom a request comes from; `request` is Gradio's, or None for a call of our own.

    Shares of the queue go by the address of the connection: neither a cookie nor the session's own word is any proof.
    """
    address = getattr(getattr(request, "client", None), "host", None) or "unknown"
    headers, login = getattr(request, "headers", None), getattr(request, "username", None)
    if jobs.signatures is None or request is None:
        return Visitor(address=address)
    known = named(headers.get("cookie") if headers else None, jobs)
    if isinstance(login, str) and login:
        return Visitor(f"login:{login}", address, known.operator)
    return Visitor(known.owner, address, known.operator)


def named(cookies: object, jobs: Jobs) -> Visitor:
    """Whom a `Cookie` header names; nobody where it was not given here."""
    if jobs.signatures is None or not isinstance(cookies, str) or len(cookies) > MAX_COOKIES:
        return NOBODY
    told = jobs.signatures.read(cookie_parser(cookies).get(cookie_name(jobs), ""))
    return Visitor(f"cookie:{told[0]}", operator=told[1] == "operator") if told else NOBODY


def cookie_name(jobs: Jobs) -> str:
    """Of this server: cookies are one host's, whatever the port."""
    return f"resolute_{jobs.signatures.label}" if jobs.signatures else "resolute"
