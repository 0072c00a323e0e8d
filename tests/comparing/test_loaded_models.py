"""A whole comparison with a model of every kind: stills, diffusion, frames first, tokens, inverted flow."""

from __future__ import annotations

import numpy as np
import pytest

from engine.comparing.comparison import compare
from engine.experiments.documents import load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.loading import load_model
from engine.switching.policies import policy_named
from tests.families.cases import CASES

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")


COMPARED = ["flux", "flux2-klein", "sdxl", "cogvideox-2b", "ltx", "mochi", "sana", "hunyuan-1.5"]


@pytest.mark.parametrize("name", COMPARED)
def test_a_model_of_every_kind_is_compared_and_reported(name, tmp_path):
    case = CASES[name]
    case.build().save_pretrained(tmp_path / "model")
    model = load_model(str(tmp_path / "model"), device="cpu")
    track = Track("half", load_preset("0.5@50%", 4).schedule, policy_named("coherent"))
    asked = make_experiment(
        model.spec,
        [track],
        Settings(prompt="a red apple", steps=4, height=case.height, width=case.width, frames=case.frames),
    )
    report = compare(asked, model, tmp_path / "out", noise_floor=False)
    assert [(run.status, run.error) for run in report.runs] == [("done", None)] * 2
    assert report.size.frames == case.frames
    assert np.isfinite(report.runs[1].similarity.psnr.mean)
    assert report.runs[0].memory.decode_bytes is not None
    assert report.environment.loading == ()
    again = load_experiment(tmp_path / "out" / "report.json", lambda id: model.spec)
    assert (again.shift, again.frames, again.steps) == (asked.shift, asked.frames, 4)
    assert again.solver in (None, *model.spec.solvers)
