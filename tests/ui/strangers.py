"""What strangers send, as strategies of hypothesis: valid, nearly valid, and hostile.

`JUNK` is any JSON, with NaN, half surrogates, huge numbers and deep nesting; the others put it where something else is
expected. `{id}` stands for the id of a job that is there.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from engine.experiments.share_link import pack
from tests.jobs import shelf
from ui.studio.form import OWN_SOLVER

ROOT = Path(__file__).parents[2]


def dumps(value: Any) -> bytes:
    """JSON as a stranger may write it: NaN and half surrogates too."""
    return json.dumps(value, allow_nan=True).encode()


TEXT = st.text(st.characters(exclude_categories=()), max_size=40)  # half surrogates and NUL too
NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([0, -1, 1, 30, 64, 128, 1e9, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**39, 10**400, 1e308, 5e-324]),
    st.floats(),
)
LEAF = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
ANY = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
DEEP = st.builds(lambda depth, pair: _nested(depth, pair), st.sampled_from([20, 33, 58, 70, 900]), st.booleans())
JUNK = st.one_of(ANY, DEEP)


def _nested(depth: int, pairs: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if pairs else [value]
    return value


def changed(base: dict[str, Any], odd: dict[str, st.SearchStrategy], most: int = 2) -> st.SearchStrategy:
    """An object that is right but for a few of its values: what is wrong all over is refused at the first."""
    keys = st.lists(st.sampled_from(sorted(odd)), max_size=most, unique=True)
    return keys.flatmap(lambda names: st.fixed_dictionaries({name: odd[name] for name in names})).map(base.__or__)


RATE = st.one_of(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1, 0.01, 1e-9]), st.floats(0, 1), JUNK)
RATES = st.lists(RATE, max_size=5) | st.lists(st.just(0.5), min_size=30, max_size=40) | JUNK
SWITCHES = st.lists(st.integers(0, 40) | JUNK, max_size=5) | JUNK
SHAPE: dict[str, Any] = {"resolution_rate": [0.5, 0.75], "changing_resolution_steps": [6, 20]}
SHAPES = {"resolution_rate": RATES, "changing_resolution_steps": SWITCHES, "infer_steps": st.integers(1, 40) | JUNK}
OWN = changed(
    {"resolute_preset": 1, "name": "x", "infer_steps": 30, **SHAPE},
    SHAPES
    | dict.fromkeys(("resolute_preset", "name", "description", "policy", "more"), JUNK)
    | {"steps": st.integers(-1, 40) | NUMBERS | JUNK},
)
KEYS = (
    "changing_resolution target_height target_width sample_shift sample_guide_scale enable_cfg target_video_length "
    "feature_caching model_cls more"
)
CONFIG = changed(
    {"infer_steps": 30, "changing_resolution": True, **SHAPE}, SHAPES | dict.fromkeys(KEYS.split(), JUNK | NUMBERS)
)
RAW = st.sampled_from(
    [
        "", "{", "[" * 5000, '{"a":' * 5000, '{"infer_steps": 1e999}', "{" + '"a":1,' * 9000 + '"b":2}', "{} {}", "﻿{}",
        '{"a":1,"a":2}', "null", "NaN", '{"infer_steps": ' + "9" * 5000 + "}", "{\x00}", '{"a": "\\ud800"}',
        "0.5@50%/" * 50, "0.5@" + "9" * 5000 + "%", "." * 50 + "@1", "1/0.75@6/21", "u-0.75", "flat", "0.5@50%", "0@0",
        "flat@15", "u-0.75@20", "u-0.75@2", "flat@0", "flat@" + "9" * 5000, "0.5@50%/20",
        "0.5@50%/0", "0.5@50%/20%", "flat@١٥",
        "١@٣", "../../etc/passwd", "/etc/passwd", "\x00", "C:\\x", "0.5@50%\n", "{}" + " " * 70000,
    ]
)  # fmt: skip


@st.composite
def mutated(draw: Any, text: st.SearchStrategy) -> Any:
    """A text with a piece taken out, doubled or replaced."""
    whole = draw(text)
    start = draw(st.integers(0, max(0, len(whole) - 1)))
    end = start + draw(st.integers(0, 12))
    other = draw(st.sampled_from(["", "}", "[", '"', ",", "\\u0000", "-", "1e5", "é", "\x00"]))
    piece = other.encode() if isinstance(whole, bytes) else other
    return whole[:start] + draw(st.sampled_from([piece, whole[start:end] * 2])) + whole[end:]


DOCUMENTS = (OWN | CONFIG | st.dictionaries(TEXT, JUNK, max_size=3)).map(json.dumps)
SHORTHAND = st.from_regex(r"[0-9.]{1,6}(/[0-9.]{1,6}){0,3}@[0-9]{1,7}%?(/[0-9]{1,4}%?){0,3}", fullmatch=True)
SCHEDULE = st.one_of(RAW, DOCUMENTS, mutated(DOCUMENTS), SHORTHAND, mutated(SHORTHAND), TEXT, JUNK)
MODEL = st.sampled_from(["emoji-wan", "emoji-wan", "wan2.1-14b", "/etc", "", "..", "\x00"]) | JUNK
FIELDS: dict[str, tuple[Any, st.SearchStrategy]] = {  # a right value, and others
    "schedule": ("0.5@50%", SCHEDULE),
    "schedules": (["0.5@50%"], st.lists(SCHEDULE, max_size=3) | JUNK | st.just(["flat"] * 9999)),
    "model": ("emoji-wan", MODEL),
    "job": ("{id}", JUNK),
} | {
    name: (own, st.sampled_from(others) | NUMBERS | JUNK)
    for name, own, *others in (
        ("prompt", "{}", "a", ""), ("seed", 1, 1.0), ("steps", 8, 30, 30.0, None), ("policy", "coherent", "pyramid"),
        ("negative", "", None), ("height", 128, None, 64.0), ("width", 128, None, 64), ("frames", 17, None, 1),
        ("guidance", 5, 1.0, None), ("shift", 3.0, None), ("solver", None, "unipc", OWN_SOLVER), ("floor", False, True),
    )
}  # fmt: skip
ENDPOINTS = {
    "check_schedule": "schedule model steps",
    "estimate_cost": "schedule model steps height width frames guidance",
    "compare": "prompt schedules model seed steps policy negative height width frames guidance shift solver floor",
    "get_job": "job",
    "cancel_job": "job",
    "list_models": "",
    "no such": "job",
}


@st.composite
def calls(draw: Any) -> tuple[str, list[Any]]:
    """A call of a public endpoint, with up to two arguments, or all of them, as they should not be."""
    name = draw(st.sampled_from(sorted(ENDPOINTS)))
    if draw(st.integers(0, 19)) == 0:
        return name, draw(st.lists(JUNK))
    fields = [FIELDS[field] for field in ENDPOINTS[name].split()]
    odd = draw(st.sets(st.integers(0, max(0, len(fields) - 1)), max_size=2))
    return name, [draw(others) if at in odd else own for at, (own, others) in enumerate(fields)]


LINK = pack(shelf.experiment())


def packed(value: Any) -> str:
    """Any JSON in a link's wrapping."""
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode(), 9)).rstrip(b"=").decode()


TRACKS = st.lists(st.tuples(st.just("x") | JUNK, st.just("coherent"), RATES, SWITCHES) | JUNK, max_size=3) | JUNK
SHORT = changed(
    {"v": 1, "m": "emoji-wan", "p": "a", "e": 1, "t": [["x", "coherent", [0.5], [10]]]},
    {"t": TRACKS, "m": MODEL} | dict.fromkeys("vpqeshwfgioz", JUNK | NUMBERS),
)
BOMBS = st.sampled_from([10**5, 10**7]).map(
    lambda size: base64.urlsafe_b64encode(zlib.compress(b" " * size, 9)).decode().rstrip("=")
)
LINKS = st.one_of(
    SHORT.map(packed), mutated(st.just(LINK)), mutated(SHORT.map(packed)), st.from_regex(r"[A-Za-z0-9_=-]{1,80}"),
    TEXT, BOMBS, st.just("A" * 20000), JUNK.map(packed),
)  # fmt: skip
PICKED = st.from_regex(r"[A-Za-z0-9_.,-]{0,60}", fullmatch=True) | TEXT


def zipped(members: list[tuple[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            with contextlib.suppress(UnicodeEncodeError):
                archive.writestr(zipfile.ZipInfo(name), data)
    return made.getvalue()


VIDEO = (ROOT / "ui/example/00.mp4").read_bytes()
REPORT = (ROOT / "ui/example/report.json").read_bytes()
BYTES = st.binary(max_size=99)
PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
EXPERIMENT = json.dumps(shelf.experiment().document())
MEMBERS = st.sampled_from(
    ["job.json", "report.json", "00.mp4", "01-difference.mp4", "00.png", "../x", "/x", "..\\x", "index.html", "C:x"]
)  # fmt: skip
BLOATED = st.sampled_from([10**4, 10**6]).flatmap(
    lambda size: st.sampled_from(
        [
            b'{"runs":[' + b"0," * size + b"0]}",
            b"{" + b'"a":1,' * size + b'"b":1}',
            b"[" * size,
            b'{"a":"' + b'\\"' * size,
        ]
    )
)
CONTENT = st.one_of(
    st.binary(max_size=60), DOCUMENTS.map(str.encode), st.just(json.dumps({"document": EXPERIMENT}).encode()),
    st.just(VIDEO[:4000]), st.just(bytes(10**6)), BLOATED,
)  # fmt: skip
ZIPS = st.lists(st.tuples(MEMBERS | TEXT.filter(lambda name: "\0" not in name), CONTENT), max_size=5).map(zipped)
JSONS = st.one_of(
    DOCUMENTS, mutated(DOCUMENTS), mutated(st.just(EXPERIMENT)), RAW, JUNK.map(json.dumps),
    st.dictionaries(st.sampled_from([*json.loads(EXPERIMENT)]), JUNK).map(
        lambda change: json.dumps(json.loads(EXPERIMENT) | change)
    ),
).map(lambda text: text.encode("utf-8", "surrogatepass"))  # fmt: skip
FILES = st.one_of(
    st.tuples(st.just("dropped"), st.sampled_from(["a.json", "report.json", "x.JSON"]), JSONS),
    st.tuples(st.just("dropped"), st.just("report.json"), mutated(st.just(REPORT))),
    st.tuples(st.just("dropped"), st.sampled_from(["report.json", "a.json"]), BLOATED),
    st.tuples(st.just("dropped"), st.just("a.mp4"), mutated(st.just(VIDEO)) | st.just(PLAYLIST) | BYTES),
    st.tuples(st.just("taken_in"), st.just("a.zip"), ZIPS | mutated(ZIPS) | BYTES | st.just(b"real")),
    st.tuples(st.sampled_from(["dropped", "taken_in"]), TEXT, JSONS | BYTES),
)  # fmt: skip


PARTS = st.sampled_from(
    ["..", ".", "%2e%2e", "%2f", "%5c", "/", "\\", "%00", "etc", "passwd", "A" * 16, "job.json",
     "report.json", "00.mp4", "%ff", "%c0%af", "C:", "con", "*", "?", "#", "lock", "resolute.db", ".part", "example",
     "~", "$HOME", "{id}", "x" * 5000]
)  # fmt: skip
PIECES = st.lists(PARTS | TEXT.map(lambda text: quote(text.encode("utf-8", "surrogatepass"))), max_size=5).map("".join)
PLACES = st.sampled_from(["media", "media", "archive", "gradio_api/file=", "file", "static", "assets", "x"])
PATHS = st.tuples(PLACES, PIECES, PIECES)


LANE = changed(
    {"name": "x", "policy": "coherent", "colour": 1, **SHAPE},
    SHAPES
    | dict.fromkeys(("name", "policy", "colour", "more"), JUNK)
    | {"steps": st.integers(-1, 40) | NUMBERS | JUNK},
)
BOARD = changed(
    {"infer_steps": 30, "tracks": []},
    {"infer_steps": st.integers(1, 40) | JUNK, "tracks": st.lists(LANE, max_size=4) | JUNK, "more": JUNK},
)
QUERY = st.dictionaries(st.sampled_from(["search", "sort", "shelf", "count"]), JUNK)
DATA = st.one_of(
    JUNK,
    st.fixed_dictionaries(
        {"action": st.sampled_from(["skip", "retry", "select"]) | JUNK, "number": st.integers(-1, 70) | JUNK}
    ),
    st.fixed_dictionaries(
        {"action": st.sampled_from(["show", "pin", "unpin", "delete", "restore", "purge", "dismiss", "restart", "open",
                                    "compare", "studio"]) | JUNK},
        optional={
            "query": QUERY | JUNK, "job": st.just("{id}") | JUNK, "notice": st.integers() | JUNK,
            "runs": st.lists(st.tuples(st.just("{id}") | JUNK, st.integers(0, 4) | JUNK) | JUNK, max_size=4) | JUNK,
        },
    ),
    st.fixed_dictionaries({"index": JUNK, "value": st.sampled_from(["Library", "Studio"]) | JUNK}),
)  # fmt: skip
FILE = st.fixed_dictionaries(
    {"path": st.sampled_from(["/etc/passwd", "http://127.0.0.1:1/x", "../x", ""]) | JUNK},
    optional={"meta": st.just({"_type": "gradio.FileData"}) | JUNK, "url": JUNK, "size": JUNK, "is_stream": JUNK},
)


ROUTES = st.sampled_from(
    ["/", "/config", "/healthz", "/gradio_api/info", "/gradio_api/queue/join", "/gradio_api/run/predict", "/theme.css",
     "/gradio_api/run/check_schedule", "/gradio_api/call/check_schedule", "/gradio_api/upload", "/gradio_api/cancel",
     "/gradio_api/reset", "/gradio_api/component_server", "/media/x/y", "/inputs", "/manifest.json",
     "/gradio_api/call/v2/get_job"]
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=80),
    st.dictionaries(
        st.sampled_from(["data", "fn_index", "session_hash", "event_data", "trigger_id", "batched", "event_id",
                         "simple_format", "request", "component_id", "fn_name", "job"]), JUNK, max_size=5
    ).map(dumps),
    JUNK.map(dumps), st.just(b"[" * 10**5), st.just(b'{"data":' + b"[" * 10**5),
    st.just(b'{"data":[' + b"0," * 10**6 + b"0]}"),
)  # fmt: skip
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
HEADER = st.dictionaries(
    st.sampled_from(["range", "accept", "accept-language", "origin", "referer", "cookie", "x-forwarded-host",
                     "content-type", "x-forwarded-proto", "x-forwarded-for", "if-none-match", "if-range", "host",
                     "content-length", "x-gradio-user", "x-gradio-server", "sec-fetch-site", "authorization",
                     "if-modified-since"]),
    PLAIN | st.sampled_from(["bytes=0-", "bytes=-5,9-1", "bytes=a", "multipart/form-data", "null", "-1"]),
    max_size=4,
)  # fmt: skip
