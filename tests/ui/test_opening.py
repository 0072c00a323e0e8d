"""What the studio shows when a finished job or a link is opened: fields, lanes and costs of that experiment."""

from __future__ import annotations

import gradio as gr
import pytest

from engine.experiments.share_link import pack
from engine.jobs.service import Jobs
from tests.jobs import shelf
from ui.page import _initial
from ui.studio.model_change import kind_of
from ui.studio.studio_view import build_studio
from ui.studio.wiring import Wiring
from ui.timeline.board import board_of

ASKED = {"wan": shelf.experiment("a frog", seed=3), "levels": shelf.by_levels("a frog", seed=4)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The wiring of a page over two finished jobs, and their ids."""
    root = tmp_path_factory.mktemp("opening")
    ids = {name: shelf.put(root, asked) for name, asked in ASKED.items()}
    with Jobs(root, worker=False) as jobs, gr.Blocks():
        yield Wiring(build_studio(_initial(jobs)), jobs), ids


class Asked:
    """A request for the page at an address."""

    def __init__(self, **query: str) -> None:
        self.query_params = query


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("by", ["job", "link"])
def test_what_is_opened_is_that_experiment_whole(opened, name, by):
    wiring, ids = opened
    asked, s = ASKED[name], wiring.studio
    shown = wiring.open_job(ids[name]) if by == "job" else wiring.opened(Asked(s=pack(asked)))
    assert shown[s.board]["value"] == board_of(asked.tracks, asked.steps)
    assert shown[s.board]["context"]["model"] == asked.spec.title
    assert ("levels" in shown[s.board]["context"]) is (kind_of(asked.spec) == "levels")
    assert shown[s.form.seed]["value"] == asked.seed
    assert shown[s.chosen] == asked.spec.id
    assert shown[s.add_preset]["visible"] is (name == "wan")
    assert asked.spec.id not in shown[s.other]["value"]


@pytest.mark.parametrize("name", ASKED)
def test_a_job_that_ends_teaches_the_board_of_its_own_model_and_leaves_another_alone(opened, name):
    wiring, ids = opened
    s, other = wiring.studio, ASKED["wan" if name == "levels" else "levels"].spec.id
    assert wiring.poll(ids[name], -1, ASKED[name].spec.id)[s.board]["context"]["model"] == ASKED[name].spec.title
    changed = wiring.poll(ids[name], -1, other)
    assert s.comparator in changed
    assert s.board not in changed
    assert s.forecast not in changed
