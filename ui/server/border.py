"""Where what a browser sends enters the page: what no event can take is refused there, in one sentence.

Any client can post any JSON to any event. Gradio expects what its own scripts send, and for all else fails with
whatever Python says; to the client that would be a failure of the server. So an event's envelope is read before Gradio
reads it, and what its components cannot read is refused too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio as gr
from gradio.route_utils import get_request_origin
from starlette.requests import Request

from engine.strict_json import items_of

UNREADABLE = "The page sent something that cannot be read here; reload it and try again."
PREFIX = "/gradio_api/"
DIRECT = ("run", "api", "call")  # their addresses end with the name of an event
CLOSED = ("component_server", "process_recording", "vibe-edit", "vibe-code")  # Gradio's, of no use to this page
MAX_NAME = 255  # bytes of one part of an address: no file system takes more
MAX_ITEMS = 50_000  # values, keys and brackets of a request: what the page sends has some hundreds
MAX_DEPTH = 64  # of JSON; what the page sends is nested less than ten deep


class Page(gr.Blocks):
    """Blocks whose inputs are either read by their components or refused."""

    async def preprocess_data(self, *args: Any, **kwargs: Any) -> Any:
        """The inputs of an event as its handler takes them. Raises gr.Error for every value that is not readable."""
        try:
            return await super().preprocess_data(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception:
            raise gr.Error(UNREADABLE, print_exception=False) from None


class Envelope:
    """Lets an event's request through when it is a JSON object, not too deep, for an event that the page has."""

    def __init__(self, app: Callable[..., Awaitable[None]], page: gr.Blocks) -> None:
        self.app, self.page = app, page

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not path.isprintable() or any(len(part.encode("utf-8", "replace")) > MAX_NAME for part in path.split("/")):
            await refuse(send, 404, "there is no such file")
            return
        if not _has_origin(scope):
            await refuse(send, 400, "the host that the request names is none")
            return
        if scope["method"] == "GET" and self._of_nobody(scope):
            await refuse(send, 404, "the queue knows no such session")
            return
        if scope["method"] != "POST" or not path.startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        words = path.removeprefix(PREFIX).strip("/").split("/")
        if words[0] == "upload":  # a form with files, which is not held in memory
            await self._passed(scope, receive, send)
            return
        body = await _whole(receive)
        fault = (413, "the request is too large") if body is None else self._fault(words, body)
        if fault:
            await refuse(send, *fault)
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(given, None) or await receive()

        await self._passed(scope, again, send)

    def _of_nobody(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether messages are asked for of no session: Gradio would begin an answer, and fail with a page of log."""
        words = scope["path"].removeprefix(PREFIX).strip("/").split("/")
        if words == ["queue", "data"]:
            session = Request(scope).query_params.get("session_hash")
        elif words[0] == "call" and len(words) > 2:
            session = words[-1]
        else:
            return False
        return session not in self.page._queue.pending_messages_per_session

    async def _passed(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handlers' errors never come this far; what does is of Gradio's reading, so the request is at fault."""
        failed: list[MutableMapping[str, Any]] = []
        begun = False

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if failed or message.get("status") == 500:
                failed.append(message)  # until it is known why
            else:
                begun = True
                await send(message)

        try:
            await self.app(scope, receive, told)
        except (AssertionError, LookupError, TypeError, ValueError):
            if begun:
                raise
            await refuse(send, 400, "the request cannot be read")
            return
        for message in failed:
            await send(message)

    def _fault(self, words: list[str], body: bytes) -> tuple[int, str] | None:
        """The status and the sentence of a refusal; None for what may pass."""
        if words[0] in CLOSED:
            return 404, "there is nothing here"
        if items_of(body) > MAX_ITEMS:  # it is read in the event loop, where all others wait for it
            return 413, f"the request holds more than {MAX_ITEMS} values"
        try:
            sent = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return 400, "the request is not JSON"
        if not isinstance(sent, dict) or not _plain(sent):
            return 400, f"the request is not a JSON object, nested at most {MAX_DEPTH} deep, without NaN"
        fns = {number: fn for number, fn in self.page.fns.items() if fn.fn is not None}  # without the browser's own
        number = sent.get("fn_index")
        if isinstance(number, int) and not isinstance(number, bool):
            return None if number in fns else (404, "the page has no such event")
        if words == ["queue", "join"]:
            return 400, "the request names no event"
        if words[0] in DIRECT and words[-1] not in {fn.api_name for fn in fns.values()}:
            return 404, "there is no such endpoint"
        return None


def _has_origin(scope: MutableMapping[str, Any]) -> bool:
    """Whether Gradio can tell its own address from the request's headers; it asks for that in every answer."""
    try:
        get_request_origin(Request(scope), "")
    except Exception:  # of whatever kind its parser of addresses raises
        return False
    return True


async def _whole(receive: Any) -> bytes | None:
    """The body of a request; None where it was cut off for its size."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _plain(value: Any) -> bool:
    """Whether a JSON value is not too deep, and its texts and numbers can be written as JSON again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if (isinstance(one, str) and not _whole_text(one)) or (isinstance(one, float) and not math.isfinite(one)):
                return False
            if isinstance(one, dict):
                inner += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                inner += one
        if not inner:
            return True
        level = inner
    return False


def _whole_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


class Refusals:
    """Answers 400 where Gradio answers 500 to an event that was refused: the fault is the request's.

    Gradio has one status for both. It tells a refusal's sentence, and nothing of an unexpected error: that stays 500.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        begun: MutableMapping[str, Any] | None = None

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] == 500:
                begun = message  # until the body says which it is
                return
            if begun is not None:
                status = 400 if _is_refusal(message.get("body", b"")) else 500
                start, begun = dict(begun) | {"status": status}, None
                await send(start)
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


def _is_refusal(body: bytes) -> bool:
    """Whether Gradio's answer to a failed event holds a sentence."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and isinstance(answer.get("error"), str)


async def refuse(send: Any, status: int, error: str) -> None:
    """Answer a request with a status and one sentence."""
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
