"""Models of two experts: each is guided by its own figure, wherever the figure comes from and goes to."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, cast

import diffusers
import numpy as np
import pytest

from engine.cli.compare_flags import CompareFlags
from engine.cli.terminal import print_report
from engine.comparing.baseline_store import key_of
from engine.comparing.comparison import compare
from engine.comparing.run_entry import environment
from engine.errors import InvalidInput
from engine.experiments.documents import experiment_of, load_experiment
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.lightx2v_config import RunSettings, parse_config
from engine.experiments.presets import load_preset
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.jobs.service import Jobs
from engine.models.catalogue import ModelSpec, catalogue, find_model
from engine.models.loading import load_model, scheduler_for
from engine.reports.html import _settings as told_settings
from engine.reports.report_file import load
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.switching.policies import policy_named
from tests.experiments.test_script import run_here
from tests.families.builders_wan import wan, wan_a14b, wan_a14b_i2v
from tests.families.parts import seeded
from ui.server.program_api import Endpoints
from ui.studio.form import default_values, ranges, values_of
from ui.studio.form import experiment_of as experiment_of_form

T2V, I2V = catalogue()["wan2.2-t2v-a14b"], catalogue()["wan2.2-i2v-a14b"]
ONE = catalogue()["wan2.1-1.3b"]
OWN = {"height": 64, "width": 96, "num_frames": 5, "fps": 8, "steps": 4, "guidance": 3.0, "max_sequence_length": 16}


def saved(build: Any, folder: Path, **own: Any) -> Path:
    seeded(build)().save_pretrained(folder)
    (folder / "resolute.json").write_text(json.dumps(OWN | own))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 A14B, tiny; over four steps both of its experts run."""
    return saved(wan_a14b, tmp_path_factory.mktemp("models") / "tiny-a14b")


def asked(spec: ModelSpec, *tracks: Track, **settings: Any) -> Experiment:
    return make_experiment(spec, tracks, Settings(prompt="a red apple", **settings))


def frames_of(folder: Path, experiment: Experiment, track: Track | None = None) -> np.ndarray:
    """What the engine makes of a track of the experiment, or of its baseline."""
    model, track = load_model(str(folder)), track or experiment.baseline
    model.pipe.scheduler = scheduler_for(model.pipe, experiment.solver, experiment.shift)
    request = StagedRequest(
        pipe=model.pipe, family=model.spec.family, call=experiment.call(), schedule=track.schedule, policy=track.policy,
        sizes=experiment.sizes(track.schedule), geometry=model.spec.geometry, seed=experiment.seed,
    )  # fmt: skip
    return run_staged(request).frames


def plain_frames(folder: Path, **guidance: float) -> np.ndarray:
    """The same of diffusers alone."""
    import torch

    pipe = diffusers.WanPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(
        prompt="a red apple", negative_prompt="", height=64, width=96, num_frames=5, num_inference_steps=4,
        max_sequence_length=16, generator=torch.Generator("cpu").manual_seed(0), output_type="np", **guidance,
    )  # fmt: skip
    return np.asarray(out.frames[0], dtype=np.float32)


def test_published_models_keep_both_guidances_and_others_have_one():
    assert (T2V.defaults.guidance, T2V.defaults.guidance_2) == (4.0, 3.0)
    assert (I2V.defaults.guidance, I2V.defaults.guidance_2) == (3.5, 3.5)
    for spec in catalogue().values():
        denoisers = [part for part in spec.parts if part.kind == "denoiser"]
        assert spec.two_experts == (len(denoisers) == 2), spec.id
        assert ("guidance_scale_2" in asked_plainly(spec).call()) == spec.two_experts


def asked_plainly(spec: ModelSpec) -> Experiment:
    return make_experiment(spec, [], Settings(prompt="a frog" if spec.levels else "-"))


def test_a_folder_has_two_experts_where_its_pipeline_changes_between_them(folder, tmp_path):
    assert find_model(str(folder)).defaults.guidance_2 == OWN["guidance"]
    own = saved(wan_a14b_i2v, tmp_path / "i2v", guidance_2=2.0)
    assert find_model(str(own)).defaults.guidance_2 == 2.0
    assert not find_model(str(saved(wan, tmp_path / "one", guidance_2=2.0))).two_experts
    index = json.loads((own / "model_index.json").read_text())
    (own / "model_index.json").write_text(json.dumps(index | {"boundary_ratio": None}))
    assert not find_model(str(own)).two_experts


def test_each_expert_runs_at_its_own_guidance(folder):
    spec = find_model(str(folder))
    alike, apart = asked(spec, guidance=4), asked(spec, guidance=4, guidance_2=1.5)
    assert (alike.guidance_2, apart.guidance_2) == (3.0, 1.5)
    found = frames_of(folder, apart)
    assert np.array_equal(found, plain_frames(folder, guidance_scale=4.0, guidance_scale_2=1.5))
    assert not np.array_equal(found, plain_frames(folder, guidance_scale=4.0))


def test_a_lightx2v_config_runs_as_it_reads():
    pair = parse_config('{"infer_steps": 40, "sample_guide_scale": [4.5, 2.5]}').settings
    made = asked(T2V, config=pair)
    assert (made.guidance, made.guidance_2) == (4.5, 2.5)
    one = asked(T2V, config=parse_config('{"infer_steps": 40, "sample_guide_scale": 5}').settings)
    assert (one.guidance, one.guidance_2) == (5.0, 5.0)
    assert asked(T2V, config=pair, guidance_2=2).guidance_2 == 2.0
    assert asked(ONE, config=pair).guidance_2 is None


def test_the_command_line_says_that_a_second_guidance_is_not_run(tmp_path, capsys):
    file = tmp_path / "config.json"
    flags = CompareFlags("a boat", tmp_path, settings_from=file)
    told = "config.json: its second sample_guide_scale 3 is not run: Wan 2.1 T2V 1.3B has one expert.\n"
    for scale, words in (([4, 3], told), ([4, 4], ""), (4, ""), ([4, None], "")):
        file.write_text(json.dumps({"infer_steps": 40, "sample_guide_scale": scale}))
        flags.config(ONE, 40)
        assert capsys.readouterr().err == words
        flags.config(T2V, 40)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("spec", "settings", "words"),
    [
        (ONE, {"guidance_2": 3}, r"guidance_2 is 3; .* has one expert: leave it out\."),
        (T2V, {"guidance_2": -1}, r"guidance_2 is -1; it must be a number in 0\.\.100\."),
        (T2V, {"guidance_2": float("nan")}, "guidance_2 is nan; it must be a number"),
        (T2V, {"guidance_2": "3"}, "guidance_2 is 3; it must be a number"),
        (
            T2V,
            {"guidance": 1, "guidance_2": 3},
            "guidance_2 is 3 beside guidance 1, .* set guidance_2 to 1, or guidance",
        ),
        (T2V, {"config": RunSettings(guidance=1.0, guidance_2=3.0)}, "guidance_2 is 3 beside guidance 1"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(spec, settings, words):
    with pytest.raises(InvalidInput, match=words) as refused:
        asked(spec, **settings)
    assert refused.value.field == "guidance_2"


def test_without_guidance_the_second_expert_has_none_either():
    assert asked(T2V, guidance=1).guidance_2 == 1.0
    assert asked(T2V, guidance=1, config=RunSettings(guidance=4.0, guidance_2=3.0)).guidance_2 == 1.0
    assert asked(T2V, guidance=4, guidance_2=1).guidance_2 == 1.0  # both passes are run all the same


@pytest.mark.parametrize("settings", [{}, {"guidance": 1}, {"guidance": 6}, {"guidance_2": 1}, {"guidance_2": 5.5}])
def test_documents_and_links_bring_it_back(settings):
    made = asked(T2V, **settings)
    assert experiment_of(made.document(), "the document") == made
    assert unpack(pack(made)) == made


def test_what_was_made_before_still_opens_with_the_models_own():
    document = asked(T2V, guidance_2=5).document()
    del document["guidance_2"]
    assert experiment_of(document, "the document").guidance_2 == 3.0
    assert "guidance_2" not in asked(ONE).document()
    assert len(pack(asked(T2V))) <= len(pack(asked(T2V, guidance_2=5)))


def test_a_report_keeps_it_and_a_baseline_is_not_taken_for_another(folder, tmp_path, capsys):
    model = load_model(str(folder))
    track = Track("two", load_preset("two-stage-0.5", 4).schedule.with_steps(4), policy_named("anchored"))
    made = asked(model.spec, track, guidance_2=1.5, solver="unipc")
    report = compare(made, model, tmp_path, noise_floor=False)
    assert report.guidance_2 == 1.5
    assert [run.experts for run in report.runs] == [(1, 1, 2, 2)] * 2
    print_report(report, tmp_path)
    assert "two: expert 1 for 2 steps, 2 for 2." in capsys.readouterr().out
    assert "Expert 1 for 2 steps, 2 for 2" in (tmp_path / "index.html").read_text("utf-8")
    assert told_settings(report)["Guidance"] == "3, of the second expert 1.5"
    assert load_experiment(tmp_path / "report.json", lambda name: model.spec) == made
    assert load_experiment(tmp_path / "00-baseline.mp4", lambda name: model.spec) == made
    where = environment(model)
    assert key_of(made, where) != key_of(asked(model.spec, guidance_2=2.5, solver="unipc"), where)
    old = json.loads((tmp_path / "report.json").read_text())
    del old["guidance_2"]
    for run in old["runs"]:
        del run["experts"]
    (tmp_path / "report.json").write_text(json.dumps(old))
    assert load(tmp_path / "report.json").guidance_2 is None


@pytest.mark.parametrize(("policy", "solver"), [("coherent", None), ("anchored", None), ("pyramid", "dpm++")])
def test_a_script_passes_it_on(folder, policy, solver, tmp_path, monkeypatch):
    preset = load_preset("two-stage-0.5", 4)
    track = Track("two", preset.schedule, policy_named(policy))
    made = asked(find_model(str(folder)), track, shift=3.0, guidance_2=1.5, solver=solver)
    script = diffusers_snippet(made, made.tracks[0])
    assert "\nGUIDANCE_2 = 1.5\n" in script
    assert ("\nfrom engine." in script) == (solver == "dpm++")
    assert (
        np.abs(run_here(script, folder, tmp_path, monkeypatch) - frames_of(folder, made, made.tracks[0])).max() < 1e-5
    )
    one = asked(ONE, Track("two", preset.schedule, policy_named(policy)), shift=3.0)
    assert "guidance_scale_2" not in diffusers_snippet(one, one.tracks[0])


def test_the_studio_shows_it_for_two_experts_alone_and_keeps_what_was_opened():
    assert ranges(T2V)["guidance_2"] == {"visible": True}
    assert ranges(ONE)["guidance_2"] == ranges(catalogue()["emoji-hpdm"])["guidance_2"] == {"visible": False}
    assert (default_values(T2V)["guidance_2"], default_values(ONE)["guidance_2"]) == (3.0, None)
    made = asked(T2V, guidance_2=5.5)
    assert experiment_of_form(values_of(made), []) == made
    hidden = values_of(asked(ONE)) | {"guidance_2": 5.5}  # of the model before, as a field may still send it
    assert experiment_of_form(hidden, []).guidance_2 is None


def test_a_program_may_give_it_and_sees_the_models_own():
    told = inspect.signature(Endpoints.compare).parameters
    assert list(told)[-2:] == ["guidance_2", "request"]  # behind all others: calls by position stay what they were
    asked = Settings("a cat", steps=30, guidance_2=2.5)
    made = Endpoints(cast("Jobs", None))._experiment("wan2.2-t2v-a14b", ["u-0.75"], asked)
    assert (made.guidance, made.guidance_2) == (4.0, 2.5)
