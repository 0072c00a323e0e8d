"""Names for visitors where strangers come: a signed cookie with the page, and the operator's address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from engine.jobs.service import Jobs
from engine.jobs.visitors import Kind
from ui.server.addresses import Addresses
from ui.server.job_files import missing
from ui.shared.who_asks import cookie_name, named

YEAR_S = 365 * 24 * 3600
NAMED = ("/", "/config")  # what a browser and what a program asks for first


class Names:
    """Gives a name with the page to whoever brings none that was given here."""

    def __init__(self, app: Callable[..., Awaitable[None]], jobs: Jobs, addresses: Addresses) -> None:
        self.app, self.jobs, self.addresses = app, jobs, addresses

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        first = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in NAMED
        if not first or named(Request(scope).headers.get("cookie"), self.jobs).owner:
            await self.app(scope, receive, send)
            return

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                secure = scope.get("scheme") == "https"
                MutableHeaders(scope=message).append("Set-Cookie", cookie(self.jobs, "visitor", self.addresses, secure))
            await send(message)

        await self.app(scope, receive, told)


def add_operator(app: FastAPI, jobs: Jobs, addresses: Addresses) -> None:
    """The address that makes its visitor the operator; it is printed where the server is started."""

    @app.get("/operator/{key}")
    def operator(key: str, request: Request) -> Response:
        if jobs.signatures is None or not jobs.signatures.is_key(key):
            return missing()
        answer = RedirectResponse("..", status_code=303, headers={"Cache-Control": "no-store"})
        answer.headers.append("Set-Cookie", cookie(jobs, "operator", addresses, request.url.scheme == "https"))
        return answer


def cookie(jobs: Jobs, kind: Kind, addresses: Addresses, secure: bool) -> str:
    """A new name as a `Set-Cookie` header.

    In a Space's frame, which is another site's, browsers keep no same-site cookie: there it belongs to that frame.
    """
    assert jobs.signatures is not None
    place = "; Secure; SameSite=None; Partitioned" if addresses.space else "; SameSite=Lax" + "; Secure" * secure
    return f"{cookie_name(jobs)}={jobs.signatures.give(kind)}; Path=/; Max-Age={YEAR_S}; HttpOnly{place}"
