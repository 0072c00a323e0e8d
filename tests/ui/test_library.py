"""What the library shows and takes: values made from jobs, requests parsed strictly, runs of several jobs compared."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.jobs.job_errors import NotFound
from engine.jobs.notices import notice
from engine.jobs.service import Jobs
from tests.jobs import shelf
from ui.comparator.across_jobs import OWN_BASELINE, Pick, compare_runs, picks_of
from ui.library.library_requests import Leave, Query, parse_change, parse_leave, parse_query
from ui.library.library_value import library_value, signature


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Jobs of one library, by name; tests leave them as they are."""
    root = tmp_path_factory.mktemp("library")
    ids = {
        "apple": shelf.put(root, shelf.experiment("a red apple"), age_s=900),
        "again": shelf.put(root, shelf.experiment("a red apple", tracks=3), age_s=800, pinned=True),
        "seed": shelf.put(root, shelf.experiment("a red apple", seed=8), age_s=700),
        "small": shelf.put(root, shelf.experiment("a blue fish", height=64, width=96, frames=9), age_s=600),
        "half": shelf.put(root, shelf.experiment("a banana"), done=[0], age_s=500),
    }
    with Jobs(root, worker=False) as jobs:
        yield jobs, ids


def shown(jobs: Jobs, **query) -> dict:
    """The value as the browser gets it: through JSON."""
    return json.loads(json.dumps(library_value(jobs, parse_query(query)), allow_nan=False))


def test_a_job_is_shown_with_its_runs_files_and_figures(kept):
    jobs, ids = kept
    job = next(job for job in shown(jobs)["jobs"] if job["id"] == ids["apple"])
    assert (job["prompt"], job["seed"], job["status"]) == ("a red apple", 7, "done")
    assert (job["model"], job["size"]) == ("Emoji-Wan (shipped)", "128×128, 17 frames")
    baseline, track, _ = job["runs"]
    assert baseline["facts"] == [["Time", "4.00 s", None]]
    assert [fact[0] for fact in track["facts"]] == ["Time", "Speed-up", "PSNR"]
    assert track["facts"][1][1] == "1.20×"
    assert track["stages"] == [[1, 3, 0.5], [4, 6, 1.0]]
    for run in job["runs"]:
        for address in (run["poster"], run["video"]):
            media, job_id, name = address.split("/")
            assert media == "media"
            assert jobs.file(job_id, name).is_file()


def test_a_run_that_is_not_done_has_no_picture_and_says_why(kept):
    jobs, ids = kept
    job = next(job for job in shown(jobs)["jobs"] if job["id"] == ids["half"])
    assert job["status"] == "interrupted"
    lost = job["runs"][1]
    assert (lost["poster"], lost["video"], lost["facts"]) == (None, None, [])
    assert lost["error"]


def test_search_shelf_order_and_count_decide_what_is_shown(kept):
    jobs, ids = kept
    assert [job["id"] for job in shown(jobs, sort="oldest")["jobs"]] == list(ids.values())
    assert [job["id"] for job in shown(jobs, shelf="pinned")["jobs"]] == [ids["again"]]
    found = shown(jobs, search="RED apple", count=2)
    assert (found["total"], found["every"], len(found["jobs"])) == (3, 5, 2)


def test_a_deleted_job_is_in_the_trash_without_its_pictures(kept):
    jobs, ids = kept
    jobs.delete(ids["seed"])
    try:
        assert ids["seed"] not in [job["id"] for job in shown(jobs)["jobs"]]
        (job,) = shown(jobs, shelf="deleted")["jobs"]
        assert job["deleted"]
        assert job["archive"] is None
        assert [run["video"] for run in job["runs"]] == [None] * 3
    finally:
        jobs.restore(ids["seed"])


def test_what_goes_first_is_the_oldest_that_is_not_pinned(kept):
    jobs, ids = kept
    disk = shown(jobs)["disk"]
    assert disk["used"] == sum(view.bytes for view in jobs.library())
    assert disk["next"]["created"] == jobs.view(ids["apple"]).created
    jobs.pin(ids["apple"])
    try:
        assert shown(jobs)["disk"]["next"]["created"] == jobs.view(ids["seed"]).created
    finally:
        jobs.pin(ids["apple"], False)


def test_the_signature_changes_with_all_that_is_shown_and_with_nothing_else(kept):
    jobs, ids = kept
    before = signature(jobs)
    assert signature(jobs) == before
    seen = {before}
    jobs.pin(ids["small"])
    seen.add(signature(jobs))
    jobs.pin(ids["small"], False)
    seen.add(signature(jobs))
    notice(jobs._store, "worker", "It died.")
    seen.add(signature(jobs))
    jobs.dismiss(jobs.notices()[0].id)
    notice(jobs._store, "worker", "It died again.")  # SQLite gives the number of the first again
    seen.add(signature(jobs))
    assert len(seen) == 5


def test_runs_of_two_jobs_with_one_prompt_and_seed(kept):
    jobs, ids = kept
    made = compare_runs(jobs, [Pick(ids["apple"], 0), Pick(ids["apple"], 1), Pick(ids["again"], 3)])
    assert made.title == "a red apple"
    assert made.note == "Same prompt and seed."
    assert [tile.number for tile in made.tiles] == [0, 1, 2]
    assert [tile.colour for tile in made.tiles] == [0, 2, 3]
    assert made.tiles[2].video == f"media/{ids['again']}/03.mp4"
    psnr = next(curve for curve in made.curves if curve.id == "psnr")
    assert set(psnr.values) == {1, 2}
    assert psnr.reason == OWN_BASELINE
    report = jobs.report(ids["again"])
    assert psnr.values[2] == report.runs[3].similarity.psnr.frames
    assert json.dumps(made.to_json(), allow_nan=False)


def test_runs_are_told_apart_by_what_differs(kept):
    jobs, ids = kept
    made = compare_runs(jobs, [Pick(ids["apple"], 0), Pick(ids["seed"], 0), Pick(ids["small"], 0)])
    assert [tile.name for tile in made.tiles] == [
        "baseline · “a red apple” · seed 7 · 128×128×17",
        "baseline · “a red apple” · seed 8 · 128×128×17",
        "baseline · “a blue fish” · seed 7 · 96×64×9",
    ]
    same = compare_runs(jobs, [Pick(ids["apple"], 1), Pick(ids["again"], 1)])
    assert len({tile.name for tile in same.tiles}) == 2


def test_runs_of_different_numbers_of_steps_say_their_own(tmp_path):
    job = shelf.put(tmp_path, shelf.of_own_steps())
    with Jobs(tmp_path, worker=False) as jobs:
        made = compare_runs(jobs, [Pick(job, 1), Pick(job, 2)])
    assert [tile.name for tile in made.tiles] == ["Two-stage 0.5 @ 50% · 6 steps", "longer · 9 steps"]


def test_what_cannot_be_compared_frame_by_frame_is_said(kept):
    jobs, ids = kept
    made = compare_runs(jobs, [Pick(ids["apple"], 0), Pick(ids["small"], 1)])
    assert "Same seed, different prompts" in made.note
    assert "frame sizes differ (128×128, 96×64)" in made.note
    assert "numbers of frames differ (17, 9): the first 9 are shown" in made.note
    assert made.frames == 9
    assert not any(curve.values for curve in made.curves)
    assert "different seeds" in compare_runs(jobs, [Pick(ids["apple"], 0), Pick(ids["seed"], 0)]).note


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One prompt and seed drawn by the two shipped models."""
    root = tmp_path_factory.mktemp("both")
    ids = {"wan": shelf.put(root, shelf.experiment("a frog")), "levels": shelf.put(root, shelf.by_levels("a frog"))}
    with Jobs(root, worker=False) as jobs:
        yield jobs, ids


def test_two_models_are_set_side_by_side_without_scores_that_nobody_can_compare(both):
    jobs, ids = both
    made = compare_runs(jobs, [Pick(ids["wan"], 1), Pick(ids["levels"], 1), Pick(ids["levels"], 0)])
    assert "The models differ (Emoji-Wan (shipped) and Emoji-HPDM (shipped))" in made.note
    assert "not comparable: none is shown" in made.note
    assert made.frames == 16
    for tile in made.tiles:
        facts = {fact.label: fact for fact in tile.facts}
        assert facts.pop("Time").text.endswith(" s")
        assert {fact.text for fact in facts.values()} == {"–"}
        assert all("different models or sizes" in fact.reason for fact in facts.values())
    assert all(not curve.values and "Not comparable" in curve.reason for curve in made.curves)


def test_runs_of_one_model_by_levels_keep_their_scores(both):
    jobs, ids = both
    made = compare_runs(jobs, [Pick(ids["levels"], 0), Pick(ids["levels"], 1)])
    assert [tile.policy for tile in made.tiles] == [
        "3 levels, spatial overlap, cache on the device",
        "3 levels, no overlap, cache on the device",
    ]
    assert {fact.label: fact.text for fact in made.tiles[1].facts}["PSNR"] != "–"


def test_only_runs_with_a_video_are_compared(kept):
    jobs, ids = kept
    for pick in (Pick(ids["half"], 1), Pick(ids["apple"], 9)):
        with pytest.raises(InvalidInput, match="no video to compare"):
            compare_runs(jobs, [Pick(ids["apple"], 0), pick])
    with pytest.raises(NotFound):
        compare_runs(jobs, [Pick("A" * 16, 0), Pick(ids["apple"], 0)])


@pytest.mark.parametrize(
    "data",
    [
        None, 3, [], {"action": "rm"}, {"action": "pin"}, {"action": "pin", "job": 7}, {"action": "pin", "job": ""},
        {"action": "delete", "job": "x" * 65}, {"action": "dismiss", "notice": 0},
        {"action": "dismiss", "notice": True},
        {"action": "show", "query": []}, {"action": "show", "query": {"sort": "random"}},
        {"action": "show", "query": {"count": 0}}, {"action": "show", "query": {"count": 10**9}},
        {"action": "show", "query": {"search": "x" * 201}}, {"action": "show", "query": {"shelf": None}},
    ],
)  # fmt: skip
def test_a_change_that_no_page_of_ours_sends_is_refused(data):
    with pytest.raises(InvalidInput):
        parse_change(data)


@pytest.mark.parametrize(
    "runs",
    [
        None, [], [["a", 0]], [["a", 0]] * 2, [["a", k] for k in range(9)], [["a", 0], ["b"]], [["a", 0], ["b", -1]],
        [["a", 0], ["b", 0.5]], [["a", 0], [7, 0]], [["a", 0], "bb"],
    ],
)  # fmt: skip
def test_two_to_eight_different_runs_can_be_compared(runs):
    with pytest.raises(InvalidInput):
        parse_leave({"action": "compare", "runs": runs})


def test_an_address_names_the_runs_of_a_comparison():
    assert picks_of("A_b-c.0,d.12") == (Pick("A_b-c", 0), Pick("d", 12))
    assert parse_leave({"action": "compare", "runs": [["A", 0], ["B", 1]]}) == Leave(runs=(Pick("A", 0), Pick("B", 1)))
    for text in ("", "A", "A.0", "A.0,A.0", "A.x,B.1", "A.٣,B.1", "A.-1,B.0", "A.0," * 400):
        with pytest.raises(InvalidInput):
            picks_of(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={"action": JSON | st.sampled_from(["show", "pin", "compare", "open"]), "job": JSON, "notice": JSON}
    | {"runs": JSON, "query": JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(Query().to_json(), JSON))},
)


@settings(max_examples=300, deadline=None)
@given(JSON | FIELDS, st.text())
def test_whatever_comes_is_parsed_or_refused_in_one_sentence(data, text):
    for parse, given_data in ((parse_change, data), (parse_leave, data), (parse_query, data), (picks_of, text)):
        refusal = refused(parse, given_data)
        assert len(refusal) < 300
        assert "\n" not in refusal


def refused(parse: Callable[..., object], data: object) -> str:
    """What is said of the data; nothing where it is taken."""
    try:
        parse(data)
    except InvalidInput as error:
        return str(error)
    return ""
