"""The comparator's value: what a report becomes, and what is refused of an event."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from engine.errors import InvalidInput
from engine.measuring.similarity import Metric, no_similarity
from engine.reports.closeness import Similarity
from engine.reports.run_costs import Latency, Memory, Speedup, StageEntry
from engine.reports.schema import Environment, Report, Run, VideoSize
from ui.comparator.comparator_value import Action, comparison_of_report, facts_of_run, parse_action, seconds_text

TINY = "the frames are under 32 pixels high."
MEMORY = Memory(kind="rss_above_start", peak_bytes=1 << 20)


def stage(first: int, last: int, rate: float) -> StageEntry:
    side = round(128 * rate)
    return StageEntry(
        first_step=first,
        last_step=last,
        rate=rate,
        width=side,
        height=side,
        latent_width=side // 8,
        latent_height=side // 8,
        tokens=(side // 16) ** 2 * 5,
    )


def similarity(*values: float) -> Similarity:
    psnr = Metric(mean=sum(values) / len(values), min=min(values), frames=values)
    return Similarity(**no_similarity(TINY) | {"psnr": psnr})


def run(name: str, **changes) -> Run:
    own = {
        "policy": None if name == "baseline" else "coherent",
        "schedule": {},
        "status": "done",
        "memory": MEMORY,
        "similarity": Similarity.missing("It is the baseline itself."),
    }
    return Run(name=name, **own | changes)


def report(*runs: Run, **changes) -> Report:
    own = {
        "created": datetime(2026, 1, 2, tzinfo=UTC),
        "model": "tiny",
        "prompt": "a red apple",
        "seed": 7,
        "size": VideoSize(width=128, height=128, frames=3),
        "fps": 8.0,
        "steps": 20,
        "guidance": 5.0,
        "shift": 3.0,
        "solver": "euler",
        "environment": Environment(
            resolute="0", python="3", torch="2", platform="Linux", device="cpu", dtype="float32"
        ),
        "noise_floor_reason": "It was not measured.",
        "heatmap_gain": 4.0,
        "runs": runs,
    }
    return Report(**own | changes)


BASELINE = run("baseline", latency=Latency(total_s=4.1), video="00.mp4", stages=(stage(1, 20, 1.0),))
TRACK = run(
    "Two-stage",
    latency=Latency(total_s=125.0),
    speedup=Speedup(measured=1.244, by_flops=1.31),
    similarity=similarity(28.0, 29.0, 30.0),
    stages=(stage(1, 10, 0.75), stage(11, 20, 1.0)),
    video="01.mp4",
    heatmap="01-difference.mp4",
)
LOST = run("Lost", status="failed", error="Out of memory at step 4.", similarity=Similarity.missing("The run failed."))


def shown(*runs: Run) -> dict:
    return comparison_of_report(report(*runs), lambda name: f"/media/job/{name}", "job", note="Example").to_json()


def test_the_json_has_exactly_the_fields_of_the_contract():
    value = json.loads(json.dumps(shown(BASELINE, TRACK), allow_nan=False))
    assert set(value) == {
        *("key", "title", "note", "status", "fps", "frames", "width", "height", "gain", "tiles", "curves"),
    }
    assert set(value["tiles"][0]) == {
        *("number", "name", "colour", "policy", "status", "phase", "step", "steps", "stage", "stages", "rate"),
        *("seconds_left", "preview", "error", "stages_plan", "video", "heatmap", "reused", "disturbed", "facts"),
    }
    assert value["tiles"][1]["stages_plan"] == [
        {"first": 1, "last": 10, "rate": 0.75},
        {"first": 11, "last": 20, "rate": 1.0},
    ]


def test_a_finished_run_has_its_files_figures_and_curve():
    value = shown(BASELINE, TRACK)
    tile = value["tiles"][1]
    assert (tile["video"], tile["heatmap"]) == ("/media/job/01.mp4", "/media/job/01-difference.mp4")
    assert [fact[:2] for fact in tile["facts"]] == [
        ["Time", "2 min 05 s"],
        ["Speed-up", "1.24×"],
        ["PSNR", "29.0 dB"],
    ]
    psnr, ssim, _ = value["curves"]
    assert (psnr["id"], psnr["unit"], psnr["better"], psnr["values"]) == (
        "psnr",
        "dB",
        "higher",
        {"1": [28.0, 29.0, 30.0]},
    )
    assert ssim["values"] == {}
    assert ssim["reason"] == TINY


def test_what_is_unknown_is_a_dash_with_its_reason():
    facts = {fact.label: fact for fact in facts_of_run(LOST, 2, BASELINE)}
    assert facts["Time"].text == facts["Speed-up"].text == facts["PSNR"].text == "–"
    assert facts["Time"].reason == "Out of memory at step 4."
    assert facts["PSNR"].reason == "The run failed."
    assert all(fact.reason for fact in facts_of_run(BASELINE, 0, BASELINE) if fact.text == "–")


def test_colours_start_over_after_seven_tracks():
    runs = [run(f"track {k}") for k in range(1, 9)]
    assert [tile["colour"] for tile in shown(BASELINE, *runs)["tiles"]] == [0, 1, 2, 3, 4, 5, 6, 7, 1]


def test_a_failed_run_does_not_fail_the_comparison_and_all_failed_does():
    assert shown(BASELINE, LOST)["status"] == "done"
    assert shown(run("baseline", status="failed", error="Out of memory."))["status"] == "failed"
    assert shown(run("baseline", status="cancelled"))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.844, "0.84 s"), (12.34, "12.3 s"), (99.6, "1 min 40 s"), (3599.7, "1 h 00 min"), (3900, "1 h 05 min")],
)
def test_seconds_are_said_as_people_say_them(seconds, text):
    assert seconds_text(seconds) == text


def test_an_action_is_parsed():
    assert parse_action({"action": "skip", "number": 3}) == Action("skip", 3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "skip",
        [],
        {},
        {"action": "skip"},
        {"action": "skip", "number": 1, "more": 2},
        {"action": "drop table", "number": 1},
        {"action": ["skip"], "number": 1},
        {"action": "skip", "number": True},
        {"action": "skip", "number": 1.0},
        {"action": "skip", "number": "1"},
        {"action": "skip", "number": -1},
        {"action": "skip", "number": 65},
        {"action": "skip", "number": float("nan")},
    ],
)
def test_anything_else_is_refused_in_one_sentence(value):
    with pytest.raises(InvalidInput) as caught:
        parse_action(value)
    assert caught.value.field in ("action", "number")
    assert "; it " in str(caught.value)  # what it is, then what it must be
