"""Lockstep by the frames' own numbers, and runs that are still on their way, in a real browser."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from tests.browser.comparator.conftest import FPS, FRAMES, STALL_MS, comparison, done, running


@pytest.mark.parametrize("videos", [3, 8])
def test_paused_videos_stand_on_exactly_one_frame(open_desk, videos):
    desk = open_desk(comparison(videos)).ready().pause().focus().press("Home")
    assert desk.read() == [0] * videos
    for expected in (1, 2, 3):
        desk.press("ArrowRight")
        assert desk.read() == [expected] * videos
        assert desk.frame() == expected
    desk.press("End")
    assert desk.read() == [FRAMES - 1] * videos
    for expected in (FRAMES - 2, FRAMES - 3):
        desk.press("ArrowLeft")
        assert desk.read() == [expected] * videos


@pytest.mark.parametrize("videos", [3, 8])
def test_playing_videos_stay_within_one_frame_over_loops_and_speeds(open_desk, videos):
    desk = open_desk(comparison(videos)).ready().wait_playing()
    for _ in range(3):  # a machine with other work stalls the page: what does not keep step never does
        worst, off, loops = played(desk)
        if loops and worst <= 1 and off <= 0:
            break
    print(f"{videos} videos: worst difference {worst} frames, counter off by {off} more than it may, {loops} loops")
    assert loops
    assert worst <= 1
    assert off <= 0
    desk.pause()
    assert desk.read() == [desk.frame()] * videos, "paused after loops and speed changes it is exact again"


def played(desk) -> tuple[int, float, int]:
    """At three speeds: the most frames that videos were apart, by how much the counter was too far off, and loops."""
    worst, counted, loops = 0, {}, 0
    for speed in (1.0, 0.5, 2.0):
        desk.page.get_by_label("Speed").select_option(f"{speed:g}")
        samples = desk.page.evaluate("(stall) => reading.playing(80, stall)", STALL_MS)
        assert len({sample[0] for sample in samples}) > 3, "it plays"
        loops += sum(later[0] < earlier[0] for earlier, later in pairwise(samples))
        worst = max(worst, *(max(sample[:-1]) - min(sample[:-1]) for sample in samples))
        counted[speed] = max(abs(sample[0] - sample[-1]) for sample in samples)
    # one frame, and what passes from one drawing of the page to the next
    return worst, max(off - 1 - STALL_MS / 1000 * FPS * speed for speed, off in counted.items()), loops


def test_heat_maps_and_pairs_join_at_the_frame_that_is_shown(open_desk):
    desk = open_desk(comparison(4)).ready().pause().focus().press("Home", *["ArrowRight"] * 5)
    desk.press("h").ready("heat")
    assert desk.read("heat") == [63 - 5] * 3  # the heat-map of these tests is the negative
    desk.press("ArrowRight", "w")
    assert desk.read() == [6, 6]


def test_an_animated_picture_keeps_step_with_the_videos(open_desk):
    """What is kept of a run where ffmpeg is missing."""
    desk = open_desk(comparison((done(0), done(1, video="/files/8.webp"), done(2)))).ready().wait_playing()
    samples = desk.page.evaluate("(stall) => reading.playing(60, stall)", STALL_MS)
    assert max(max(sample[:-1]) - min(sample[:-1]) for sample in samples) <= 1
    desk.pause().focus().press("Home", "ArrowRight", "ArrowRight")
    assert desk.read() == [2, 2, 2]


def test_without_loop_it_ends_on_the_last_frame_and_plays_again_from_the_first(open_desk):
    desk = open_desk(comparison(2)).ready().wait_playing().focus().press("l")
    desk.page.wait_for_selector('.icon.play[aria-label^="Play"]')
    assert desk.read() == [FRAMES - 1] * 2
    desk.press(" ").wait_playing()
    desk.page.wait_for_function("(last) => Number(document.querySelector('.counter b').textContent) < last", arg=FRAMES)


def test_who_wants_less_motion_gets_frame_one_and_no_playing(open_desk):
    desk = open_desk(comparison(2), reduced_motion="reduce").ready()
    assert desk.read() == [0, 0]
    assert not desk.playing()
    desk.focus().press(" ").wait_playing()


def test_a_running_tile_shows_its_preview_step_stage_and_time_left(open_desk):
    desk = open_desk(running(7))
    text = desk.tile(1).inner_text()
    for words in ("Step 7 of 20", "13 s left", "stage 1 of 2", "at 0.75×"):
        assert words in text
    assert desk.tile(1).locator(".preview").is_visible()
    bar = desk.tile(1).get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "7"
    assert [fill.evaluate("(node) => node.style.width") for fill in bar.locator("b").all()] == ["70%", "0%"]
    assert "Waits for its turn." in desk.tile(2).inner_text()
    assert "Out of memory at step 4." in desk.tile(3).inner_text()
    assert not desk.tile(3).get_by_text("Skip").is_visible()


def test_a_poll_changes_the_page_in_place(open_desk):
    desk = open_desk(running(7), running(12), running(13)).ready()
    desk.page.evaluate(
        "() => { window.nodes = [document.querySelector('.tile video'), document.querySelector('.tile .preview')];"
        " window.loads = 0; window.nodes[0].addEventListener('loadstart', () => window.loads++); }"
    )
    desk.focus().press(" ", "+").wait_playing()
    skip = desk.tile(1).get_by_role("button", name="Skip Track 1")
    skip.focus()
    desk.next().page.wait_for_function("() => document.body.innerText.includes('Step 12 of 20')")
    desk.next().page.wait_for_function("() => document.body.innerText.includes('Step 13 of 20')")
    assert desk.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Skip Track 1"
    assert desk.page.evaluate("window.nodes[0] === document.querySelector('.tile video') && window.loads === 0")
    assert desk.playing()
    assert desk.page.locator(".percent").inner_text() == "150 %"
    assert [fill.evaluate("(node) => node.style.width") for fill in desk.tile(1).locator(".plan b").all()] == [
        "100%",
        "30%",
    ]


def test_it_does_not_play_while_runs_are_measured_and_plays_at_once_when_all_is_done(open_desk):
    desk = open_desk(running(7), comparison(4)).ready()
    assert not desk.playing()
    desk.next().wait_playing().ready()
    assert desk.tile(1).locator(".preview").is_hidden()


def test_a_pause_by_hand_outlives_the_end_of_the_job(open_desk):
    desk = open_desk(running(7), comparison(4)).ready().focus()
    desk.press(" ").wait_playing()
    desk.press(" ").next()
    desk.page.wait_for_function("() => reading.videos().length === 4")
    desk.ready()
    assert len(set(desk.read())) == 1
    assert not desk.playing()


def test_another_key_starts_over(open_desk):
    desk = open_desk(comparison(3), comparison(2, key="other", title="another")).ready().focus().press("w", "+")
    desk.next()
    desk.page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
    assert desk.mode() == "grid"
    assert desk.page.locator(".percent").inner_text() == "100 %"
    desk.ready().wait_playing()
    assert desk.page.locator(".top h2").inner_text() == "another"


def test_skip_and_run_again_reach_python(open_desk):
    desk = open_desk(running(7), dataclasses.replace(running(7), status="failed"))
    desk.tile(2).get_by_role("button", name="Skip Track 2").click()
    desk.said("skip 2")
    desk.next()
    desk.page.get_by_role("button", name="Run again").click()
    desk.said("retry 3")


def test_nothing_yet_is_said(open_desk):
    desk = open_desk(None, comparison(2))
    assert desk.page.locator(".empty").is_visible()
    desk.next().ready().wait_playing()
