"""Strangers' requests by the thousand: schedules, links, files, ids, events of any shape, headers.

No answer is a 500, shows a traceback or tells a path of the server, and nothing is written outside the data directory.
None takes two seconds, and all together take the server to no more than 1 GB. As the server lives in the process of the
tests, which holds torch and more, what is held is by how much that grows: 1 GB less what a server has at rest.
`RESOLUTE_FUZZ` is the number of cases in all (300 where it is not set), for example
RESOLUTE_FUZZ=10000 python -m pytest tests/ui/test_fuzz.py -s
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from tests.experiments.pictures import drawn, saved
from tests.jobs import shelf
from tests.ui.strangers import (
    BOARD,
    BODIES,
    DATA,
    FILE,
    FILES,
    HEADER,
    JUNK,
    LINKS,
    NUMBERS,
    PATHS,
    PICKED,
    PLAIN,
    ROUTES,
    TEXT,
    calls,
    dumps,
)
from tests.ui.watched_app import (
    AT_REST,
    HEADERS,
    MOST_BYTES,
    OURS,
    ROOT,
    Served,
    TimedClient,
    Watch,
    blocks_of,
    elsewhere,
    listening,
    names_below,
    peak_bytes,
    reset_peak,
)
from ui.server.web_app import create_app

CASES = int(os.environ.get("RESOLUTE_FUZZ", "300"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Gradio's, for toasts of an event outside its queue


def cases(share: float) -> Callable[[Any], Any]:
    """A share of all cases; the same ones every time, and more of them in `make test-all`."""
    given_as = settings(
        max_examples=max(4, round(CASES * share)),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.deep(given_as(test))


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("fuzz")
    job = shelf.put(root / "data", shelf.experiment("<script>alert(1)</script>"))
    limits = Limits(waiting=10**6, waiting_visitor=10**6)
    with elsewhere(root) as places, Jobs(root / "data", limits=limits, worker=False) as jobs:
        before = {name: names_below(ROOT / name) for name in OURS}
        client = TimedClient(create_app(jobs), raise_server_exceptions=False)
        with client, pytest.MonkeyPatch.context() as patch:
            handlers = {getattr(fn.fn, "__name__", ""): number for number, fn in blocks_of(client).fns.items()}
            one = Served(client, jobs, job, root, handlers, Watch())
            patch.setattr("gradio.utils.error_payload", listening(one.faults))
            reset_peak()
            held = peak_bytes()
            one.watch.allowed = (
                str(root.resolve()),
                os.devnull,
                str(ROOT / ".hypothesis"),
            )  # the last is hypothesis' own
            yield one
            one.watch.allowed = ()
        grown = peak_bytes() - held
        print(f"\nthe slowest took {one.slowest:.2f} s, the process grew by {grown / 1e6:.0f} MB")
        print(f"\n{one.statuses.total()} answers checked, by status: {dict(sorted(one.statuses.items()))}")
    assert grown < MOST_BYTES - AT_REST
    assert one.watch.seen == []
    assert [name for place in places for name in names_below(place)] == []
    assert {name: names_below(ROOT / name) for name in OURS} == before
    assert {path.name for path in root.iterdir()} == {"data", "cwd", "home", "temp"}


@cases(0.22)
@given(calls())
def test_schedules_and_settings_of_programs(served, call):
    name, data = call
    served.call(name, with_id(data, served.job))


@cases(0.1)
@given(st.sampled_from(["s", "job", "compare"]), LINKS | PICKED, st.booleans())
def test_addresses_of_shared_experiments(served, key, text, plain):
    value = quote(text.encode("utf-8", "surrogatepass"), safe="")
    if plain:
        served.check(served.client.get(f"/?{key}={value}"))
    served.call(served.handlers["opened"], [], query=f"?{key}={value}")


def inputs_of(served: Served, handler: str, file: Any) -> list[Any]:
    """Values for a handler's inputs: those of a fresh page, and the file where one is asked for."""
    values = []
    for component in served.fns[served.handlers[handler]].inputs:
        kind = component.get_block_name()
        values.append(file if kind in ("file", "uploadbutton") else None if kind == "state" else component.value)
    return values


@cases(0.12)
@given(FILES)
def test_files_that_are_opened_and_taken_in(served, file):
    handler, name, data = file
    if data == b"real":
        data = served.client.get(f"/archive/{served.job}.zip").content
    try:
        path = served.upload(name, data)
    except (ValueError, UnicodeError):  # a name that no header can carry: the client itself gives up
        return
    if path:
        sent = {"path": path, "meta": {"_type": "gradio.FileData"}}
        served.call(served.handlers[handler], inputs_of(served, handler, sent), told=path)


# ---- pictures ----------------------------------------------------------------------------------------------------

PICTURES = {
    f"{kind} {mode}": saved(drawn(48, 40, mode), kind, **options)
    for kind, mode, options in (
        ("PNG", "RGBA", {}), ("PNG", "P", {}), ("JPEG", "RGB", {}), ("JPEG", "CMYK", {}), ("WEBP", "RGB", {}),
    )
}  # fmt: skip


@cases(0.5)
@given(
    st.sampled_from(sorted(PICTURES)),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    st.integers(0, 5000),
)
def test_pictures_that_are_added(served, picture, cuts, junk):
    data = bytearray(PICTURES[picture])
    for place, value in cuts:
        data[place % len(data)] = value
    answer = served.check(served.client.post("/inputs", content=bytes(data[: len(data) - junk % len(data)])))
    assert answer.status_code in (200, 422)
    assert answer.status_code != 200 or served.check(
        served.client.get(f"/inputs/{answer.json()['sha256']}.png")
    ).content.startswith(b"\x89PNG")


# ---- ids and names ---------------------------------------------------------------------------------------------


@cases(0.2)
@given(PATHS, st.sampled_from(["GET", "HEAD", "GET", "OPTIONS", "DELETE"]))
@example(("media", "{id}", "00.mp4"), "GET")
@example(("archive", "{id}", ".zip"), "GET")
def test_ids_and_names_of_files(served, parts, method):
    place, first, second = (part.replace("{id}", served.job) for part in parts)
    joined = f"/{place}/{first}{second}.zip" if place == "archive" else f"/{place}/{first}/{second}"
    raw = re.sub(r"[^!-~]", "", joined.replace("#", "%23"))
    answer = served.check(served.client.request(method, raw, follow_redirects=False))
    assert b"root:" not in answer.content
    assert b"SQLite format" not in answer.content


# ---- events ----------------------------------------------------------------------------------------------------


@st.composite
def events(draw: Any, served: Served) -> tuple[int, list[Any], Any]:
    """Any event of the page: each of its inputs as a page would send it, or as nobody should."""
    number = draw(st.sampled_from(sorted(number for number, fn in served.fns.items() if fn.fn)))
    inputs = served.fns[number].inputs
    odd = draw(st.sets(st.integers(0, max(0, len(inputs) - 1)), max_size=2))
    values = [draw(_value(served, component, at in odd)) for at, component in enumerate(inputs)]
    if draw(st.integers(0, 19)) == 0:
        values = draw(st.lists(JUNK, max_size=30))
    return number, values, draw(DATA)


def _value(served: Served, component: Any, odd: bool) -> st.SearchStrategy:
    """What an input holds on a fresh page; where it is to be `odd`, what a browser may make of it, or any JSON."""
    kind = component.get_block_name()
    if not odd:
        return st.just(served.job if component.elem_id == "job" else getattr(component, "value", None))
    if component.elem_id == "board":
        return BOARD | JUNK
    return st.one_of(JUNK, FILE if kind == "uploadbutton" else NUMBERS if kind == "number" else TEXT)


def with_id(value: Any, job: str) -> Any:
    """`{id}` in a value as the id of the finished job."""
    if isinstance(value, list | tuple):
        return [with_id(one, job) for one in value]
    if isinstance(value, dict):
        return {key: with_id(one, job) for key, one in value.items()}
    return job if value == "{id}" else value


@cases(0.24)
@given(st.data())
def test_events_of_the_page(served, data):
    number, values, event = data.draw(events(served))
    served.call(number, values, event_data=with_id(event, served.job))


@cases(0.04)
@given(st.data())
def test_events_that_wait_in_the_queue(served, data):
    """The whole way: joined, and what happened read from the stream."""
    number, values, event = data.draw(events(served))
    body = {"data": values, "event_data": event, "fn_index": number, "session_hash": "queue"}
    joined = served.check(served.client.post("/gradio_api/queue/join", content=dumps(body), headers=HEADERS))
    if joined.status_code == 200:
        told = served.check(served.client.get("/gradio_api/queue/data", params={"session_hash": "queue"}))
        assert "process_completed" in told.text
    served.settle()


# ---- requests of any kind -----------------------------------------------------------------------------------------


@cases(0.08)
@given(st.sampled_from(["GET", "POST", "POST", "PUT"]), ROUTES, PLAIN, HEADER, BODIES)
def test_requests_of_any_kind(served, method, place, query, headers, body):
    url = f"{place}?{quote(query, safe='=&%')}"
    content = body if method != "GET" else None
    served.check(served.client.request(method, url, content=content, headers=HEADERS | headers, follow_redirects=False))


# ---- what was found once -------------------------------------------------------------------------------------------

DEEP = b'{"data": [' + b"[" * 500 + b"]" * 500 + b'], "fn_index": 3}'
BODIES_FOUND = (
    ("run/no-such-event", b'{"data": []}', 404),
    ("run/predict", b'{"data": [], "fn_index": 9999}', 404),
    ("queue/join", b'{"data": []}', 400),
    ("queue/join", b'{"data": [], "fn_index": 9999, "session_hash": "x"}', 404),
    ("run/check_schedule", b'{"": Infinity}', 400),
    ("run/check_schedule", b'{"": 1e999}', 400),
    ("run/check_schedule", b'{"data": ["\\ud800"]}', 400),
    ("run/check_schedule", DEEP, 400),
    ("run/compare", b'{"data": ["{}", null, "emoji-wan", 0]}', 400),
    ("component_server", b'{"session_hash": "x", "component_id": 9999, "fn_name": "x", "data": 1}', 404),
    ("call/v2/get_job", b"{}", 400),
    ("call/v2/get_job", b'{"no": 1}', 400),
    ("upload", b"", 400),
)
CALLS_FOUND = (
    ("chosen", {}, None),
    ("came", {}, {"value": "Library"}),
    ("came", {}, 7),
    ("<lambda>", {0: None}, None),
    ("draw", {0: "no job"}, None),
    ("draw_similarity", {1: "vmaf"}, None),
)


@pytest.mark.parametrize(("place", "body", "status"), BODIES_FOUND)
def test_a_request_that_once_was_a_failure_of_the_server(served, place, body, status):
    answer = served.check(served.client.post(f"/gradio_api/{place}", content=body, headers=HEADERS))
    assert answer.status_code == status


@pytest.mark.parametrize(("handler", "values", "event"), CALLS_FOUND)
def test_an_event_that_once_was_a_failure_of_the_server(served, handler, values, event):
    inputs = inputs_of(served, handler, None)
    for at, value in values.items():
        inputs[at] = value
    served.call(served.handlers[handler], inputs, event_data=event)


@pytest.mark.parametrize(
    ("field", "value"), [("shift", None), ("guidance", None), ("guidance", 10**400), ("shift", [])]
)
def test_an_emptied_field_is_the_models_own_and_anything_else_is_refused(served, field, value):
    number = served.handlers["resized"]
    inputs = inputs_of(served, "resized", None)
    at = [component.label for component in served.fns[number].inputs].index(field.capitalize())
    inputs[at] = value
    assert served.call(number, inputs).status_code == (200 if value is None else 400)


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-gradio-server", "host"])
@pytest.mark.parametrize("value", ["h;a:K", "999.1.1.1:x", "[::", "a:99999", "127.0.0.1:99999"])
def test_a_host_that_is_none_is_refused_or_left_alone(served, name, value):
    answer = served.check(served.client.get("/gradio_api/info", headers={name: value}))
    assert answer.status_code in (200, 400, 421)


@pytest.mark.parametrize("place", ["/media/example/{}", "/media/{}/x", "/static/{}", "/assets/{}", "/archive/{}.zip"])
def test_a_name_that_no_disk_takes_is_not_found(served, place):
    assert served.check(served.client.get(place.format("x" * 300))).status_code == 404
    assert served.check(served.client.get(place.format("é" * 130))).status_code == 404


def test_a_form_without_a_file_is_refused(served):
    answer = served.client.post("/gradio_api/upload", files={"files": ("", b"{}")})
    assert served.check(answer).status_code == 400


def test_what_is_written_outside_is_noticed(served):
    path = served.root.parent / "outside.txt"
    path.write_text("")
    path.unlink()
    seen = [*served.watch.seen]
    served.watch.seen.clear()
    assert seen == [f"open {path.resolve()}", f"os.remove {path.resolve()}"]


def test_a_failure_of_our_own_is_no_refusal(served, monkeypatch):
    """The status tells them apart: what nobody foresaw stays a 500, without a word of it."""
    monkeypatch.setattr("ui.server.program_api.preset_of", lambda *args: 1 / 0)
    body = {"data": [], "session_hash": "x"}
    answer = served.client.post("/gradio_api/run/list_presets", content=dumps(body), headers=HEADERS)
    assert [type(fault) for fault in served.faults] == [ZeroDivisionError]
    served.faults.clear()
    assert (answer.status_code, answer.json()["error"]) == (500, None)
