"""Lanes of the board in a real Chromium: tracks, numbers, warnings, Python's side, frame rate, accessibility."""

from __future__ import annotations

import itertools
import re
import statistics

import pytest
from playwright.sync_api import expect

from tests.browser.install import AXE_FILE as AXE
from tests.browser.timeline.conftest import EIGHT, HOSTILE, STAIRS, TWO, Driver, U, context, middle, track


def test_tracks_are_added_copied_and_removed(open_board):
    board = open_board(TWO)
    board.button("Add track", lane=None).click()
    assert board.names() == ["Two-stage 0.75", "Two-stage 0.75 2"]
    board.button("Copy").click()
    assert board.names() == ["Two-stage 0.75", "Two-stage 0.75 3", "Two-stage 0.75 2"]
    board.button("Remove").click()
    assert board.names() == ["Two-stage 0.75 3", "Two-stage 0.75 2"]
    copied = TWO | {"name": "Two-stage 0.75 3", "colour": 3}
    board.expect_python(copied, TWO | {"name": "Two-stage 0.75 2", "colour": 2})


def test_no_more_tracks_than_the_page_allows(open_board):
    board = open_board(TWO, changed={"max_tracks": 2})
    board.button("Add track", lane=None).click()
    expect(board.button("Add track", lane=None)).to_be_disabled()
    board.button("Copy").click()
    expect(board.page.locator("#board [role=status]")).to_contain_text("At most 2 tracks")
    assert len(board.names()) == 2


def test_a_name_given_by_a_person_stays_when_the_shape_changes(open_board):
    board = open_board()
    name = board.lane().locator("input.name")
    name.fill("Mine")
    name.press("Enter")
    board.drag(board.level(), dy=0.25 * board.plot_px)
    board.expect_python(TWO | {"name": "Mine", "resolution_rate": [0.5]}, U, STAIRS)
    name.fill("   ")
    name.press("Enter")
    expect(name).to_have_value("Mine")
    name.fill("Other")
    name.press("Escape")
    expect(name).to_have_value("Mine")


def test_tracks_are_reordered_by_keys_buttons_and_drag(open_board):
    board = open_board()
    board.lane(1).locator(".grip").press("ArrowDown")
    assert board.names() == ["U 0.5", "Two-stage 0.75", "Stairs"]
    expect(board.lane(2).locator(".grip")).to_be_focused()
    board.button("Numbers", lane=3).click()
    board.button("Move up", lane=3).click()
    assert board.names() == ["U 0.5", "Stairs", "Two-stage 0.75"]
    far = board.lane(3).bounding_box()["y"] - board.lane(1).bounding_box()["y"]
    board.drag(board.lane(3).locator(".grip"), dy=-far - 20)
    assert board.names() == ["Two-stage 0.75", "U 0.5", "Stairs"]
    board.expect_python(TWO, U, STAIRS)


def test_the_policy_of_a_track_is_chosen_and_explained(open_board):
    board = open_board()
    board.lane().locator("select").select_option("pyramid")
    expect(board.lane().locator("select")).to_have_attribute("title", "pyramid: Copies to blocks.")
    board.expect_python(TWO | {"policy": "pyramid"}, U, STAIRS)


def test_a_policy_under_another_rule_of_the_shift_is_shown_and_stays(open_board):
    board = open_board(TWO | {"policy": "coherent@none"}, U)
    expect(board.lane().locator("select")).to_have_value("coherent@none")
    expect(board.lane().locator("select")).to_have_attribute(
        "title", "coherent@none: Resized x0 and the seed's own noise."
    )
    board.lane(2).locator("select").select_option("pyramid")
    board.expect_python(TWO | {"policy": "coherent@none"}, U | {"policy": "pyramid"})


# ---- numbers ------------------------------------------------------------------------------------------------


def test_number_fields_take_exact_values(open_board):
    board = open_board()
    board.button("Numbers").click()
    rate = board.lane().get_by_label("Rate of stage 1", exact=True)
    rate.fill("0.7")
    rate.press("Enter")
    expect(board.lane().locator("tr[data-row='0'] .size")).to_have_text("80×80 px")  # 0.7·16 = 11.2, so 10 latents
    end = board.lane().get_by_label("Last step of stage 1")
    end.fill("22")
    end.press("Tab")
    board.expect_python(
        track([0.7], [22], name="Two-stage 0.7"), U, STAIRS,
    )  # fmt: skip
    rate.press("ArrowUp")
    board.expect_rates(0.75, 1)


@pytest.mark.parametrize(
    ("label", "typed", "said"),
    [
        ("Rate of stage 1", "0.05", "from 0.125"),
        ("Rate of stage 1", "1.2", "to 1"),
        ("Rate of stage 1", "", "must be a number"),
        ("Last step of stage 1", "30", "from 1 to 29"),
        ("Last step of stage 1", "3.5", "whole step"),
    ],
)
def test_a_wrong_number_is_explained_where_it_stands_and_changes_nothing(open_board, label, typed, said):
    board = open_board()
    board.button("Numbers").click()
    field = board.lane().get_by_role("spinbutton", name=label)
    field.fill(typed)
    expect(board.lane().get_by_role("alert")).to_contain_text(said)
    expect(field).to_have_attribute("aria-invalid", "true")
    field.press("Enter")
    board.expect_rates(0.75, 1)
    board.expect_ends(15)
    field.fill("0.5" if label.startswith("Rate") else "20")
    expect(board.lane().get_by_role("alert")).to_have_text("")
    assert board.received == []


# ---- what the board says ------------------------------------------------------------------------------------


def chips(board: Driver, lane: int = 1) -> list[str]:
    return board.lane(lane).locator(".chip").evaluate_all("(all) => all.map((each) => each.ariaLabel)")


def test_warnings_say_why(open_board):
    cache = {"name": "TeaCache", "follows": False}
    board = open_board(STAIRS, changed={"cache": cache, "native": [256, 256]})
    said = chips(board)
    assert len(said) == 4
    for sentence, part in zip(
        said, ["below the 256×256", "Steps 1 to 8", "after step 27 of 30", "TeaCache"], strict=True
    ):
        assert part in sentence
    board.lane().locator(".chip").nth(2).hover()
    expect(board.page.get_by_role("tooltip")).to_contain_text("3 steps are left")


def test_a_schedule_that_is_safe_has_no_warning(open_board):
    assert chips(open_board()) == []


def test_every_stage_pays_for_its_conditions(open_board):
    """Two stages: 15 steps of 0.12 s, 15 of 0.16 s, 1.1 s around them."""
    expect(open_board(TWO).lane().locator(".cost b.time")).to_have_text("5.30 s")
    rates = [{**rate, "condition_s": 2.0} for rate in context()["rates"]]
    expect(open_board(TWO, changed={"rates": rates}).lane().locator(".cost b.time")).to_have_text("9.30 s")


def test_without_measurements_only_the_arithmetic_is_shown(open_board):
    board = open_board(TWO, changed={"measured": False})
    cost = board.lane().locator(".cost")
    expect(cost).to_contain_text("1.28×by FLOPs")  # 30·256 / (15·144 + 15·256)
    expect(cost).to_contain_text("not measured yet")
    assert not re.search(r"\d s\b", cost.inner_text())


def test_the_calibration_is_told_on_demand(open_board):
    board = open_board()
    board.button("measured here", lane=None).click()
    expect(board.page.get_by_role("tooltip")).to_have_text("from 3 runs on this machine")


def test_bands_stand_behind_the_steps_and_can_be_hidden(open_board):
    board = open_board()
    expect(board.page.locator("#board .legend")).to_contain_text("up to ½ of the resolution settled at step 12")
    bands = board.lane().locator(".bands")
    assert "20% 75%" in bands.evaluate("(node) => node.style.clipPath")  # a quarter of the height until step 6 of 30
    board.button("Settled bands", lane=None).click()
    expect(bands).to_be_hidden()
    expect(board.button("Settled bands", lane=None)).to_have_attribute("aria-pressed", "false")


def sigmas(board: Driver) -> dict[float, float]:
    """The drawn noise levels by step; at a switch the later one."""
    path = board.lane().locator("path.sigma").get_attribute("d")
    points = [point.split() for point in re.split("[ML]", path) if point]
    return {float(step): 1 - float(y) for step, y in points}


NOISE = {"coherent": (2.25, 3), "lightx2v": (3, 4), "pyramid": (1.5, 3), "coherent@+1": (3, 4), "anchored@none": (3, 3)}


@pytest.mark.parametrize(("policy", "shift"), NOISE.items())
def test_the_noise_curve_is_the_policys(open_board, policy, shift):
    drawn = sigmas(open_board(TWO | {"policy": policy}))
    for step, s in ((10, shift[0]), (20, shift[1])):
        u = 1 - step / 30
        assert drawn[step] == pytest.approx(s * u / (1 + (s - 1) * u), abs=1e-4)


# ---- Python's side ------------------------------------------------------------------------------------------


def test_names_that_look_like_markup_are_shown_as_text(open_board):
    board = open_board(TWO | {"name": HOSTILE})
    board.page.on("dialog", lambda dialog: pytest.fail("a name ran as script"))
    assert board.names() == [HOSTILE]
    assert board.page.locator("#board b", has_text="bold").count() == 0
    assert board.page.locator("#board img").count() == 0
    board.boundary().press("ArrowRight")
    board.expect_python(TWO | {"name": HOSTILE, "changing_resolution_steps": [16]})


def test_a_new_value_from_python_is_shown_and_starts_a_new_history_where_the_steps_differ(open_board):
    board = open_board()
    board.boundary().press("ArrowRight")
    board.page.get_by_role("button", name="Load another").click()
    expect(board.page.locator("#board .subject")).to_contain_text("50 steps")
    assert board.names() == [HOSTILE]
    board.expect_ends(10)
    expect(board.button("Undo", lane=None)).to_be_disabled()


def test_a_context_that_cannot_run_a_rate_snaps_it_and_says_so(open_board):
    board = open_board(track([0.25], [15], name="Low"))
    board.page.get_by_role("button", name="Smaller").click()
    board.expect_rates(0.5, 1)
    expect(board.page.locator("#board .noted")).to_contain_text("rates under 0.5")
    board.expect_python(track([0.5], [15], name="Low"))


def test_a_value_is_judged_by_the_context_that_comes_with_it(open_board):
    board = open_board()
    board.page.get_by_role("button", name="Finer").click()
    expect(board.page.locator("#board .subject")).to_contain_text("256×256")
    board.expect_rates(0.0625, 1)
    expect(board.page.locator("#board .noted")).to_be_hidden()
    assert board.received == []


def test_open_numbers_stay_open_when_python_sends_a_value(open_board):
    board = open_board()
    board.button("Numbers").click()
    board.page.get_by_role("button", name="Load another").click()
    expect(board.lane().get_by_label("Last step of stage 1")).to_have_value("10")


# ---- frame rate and accessibility ---------------------------------------------------------------------------

FRAMES = """() => new Promise((done) => {
  const times = [];
  const tick = (now) => { times.push(now); window.stopFrames ? done(times) : requestAnimationFrame(tick); };
  window.stopFrames = false;
  requestAnimationFrame(tick);
})"""


def frame_times(board: Driver) -> list[float]:
    """Milliseconds between the frames of a drag over many steps."""
    x, y = middle(board.boundary(1, lane=4))
    page = board.page
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(f"() => {{ window.frames_seen = ({FRAMES})(); }}")
    for k in range(60):
        page.mouse.move(x + 6 * board.step_px * (1 if k % 2 else -1), y, steps=4)
    page.evaluate("() => { window.stopFrames = true; }")
    times = page.evaluate("() => window.frames_seen")
    page.mouse.up()
    return [later - sooner for sooner, later in itertools.pairwise(times)]


@pytest.mark.slow  # frame times say something only where nothing else runs
def test_a_drag_with_eight_tracks_keeps_sixty_frames_a_second(open_board, record_property):
    board = open_board(*EIGHT)
    runs = [frame_times(board) for _ in range(3)]
    best = min(runs, key=statistics.median)  # other work on the machine slows a run down, never speeds it up
    median, tail = statistics.median(best), statistics.quantiles(best, n=20)[-1]
    record_property("frames", f"{len(best)} frames, median {median:.2f} ms, 95th percentile {tail:.2f} ms")
    print(f"{len(best)} frames, median {median:.2f} ms, 95th percentile {tail:.2f} ms")
    assert len(best) > 30
    assert median < 17


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(open_board, dark):
    board = open_board(TWO, U, STAIRS | {"steps": 40}, dark=dark)
    for lane in (1, 3):
        board.button("Numbers", lane=lane).click()
    board.page.evaluate(AXE.read_text("utf-8"))
    found = board.page.evaluate(
        "async () => (await axe.run('#board')).violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html)])"
    )
    assert [each for each in found if each[1] in ("serious", "critical")] == []
