"""A whole run: events, refusals, prompts, memory, saved models."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from engine.errors import Cancelled, InvalidInput, ModelNotFound, RunFailed
from engine.hpdm.hpdm_model import Features
from engine.hpdm.prompt_words import understand
from engine.hpdm.pyramid_run import frames, run_hpdm
from engine.hpdm.sampling_request import make_request, row_bytes, tile_batch
from engine.hpdm.weights_folder import is_hpdm, load_hpdm, save_hpdm
from tests.hpdm.conftest import CONFIG, make_inputs, make_model
from tests.measuring.late_device import LateDevice


def test_events_count_steps_and_levels_and_every_level_is_a_video(model):
    events = []
    result = run_hpdm(model, make_request(CONFIG, prompt="a frog over red", steps=(3, 2, 1)), events.append)
    assert [(e.step, e.stage) for e in events] == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 2)]
    assert {(e.steps, e.stages) for e in events} == {(6, 3)}
    assert [e.rate for e in events] == [0.25] * 3 + [0.5] * 2 + [1.0]
    assert events[0].sigma == pytest.approx(1)
    assert all(0 < e.sigma <= 1 for e in events)
    assert events[-1].preview().shape == (8, 32, 32, 3)
    assert [tuple(r.video.shape) for r in result.levels] == [(3, *CONFIG.size(k)) for k in range(3)]
    assert [len(r.tiles) for r in result.levels] == [1, 18, 196]
    assert sum(r.seconds for r in result.levels) == pytest.approx(result.readings.denoise_s)
    assert result.cache_bytes > 0
    assert (events[-1].preview() == frames(result.levels[-1].video)).all()


def test_a_run_stops_at_the_level_that_was_asked_for(model):
    result = run_hpdm(model, make_request(CONFIG, steps=(2, 2, 2), levels=2))
    assert [r.steps for r in result.levels] == [2, 2]


def test_a_callback_that_raises_cancels_the_run(model):
    def stop(event):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run_hpdm(model, make_request(CONFIG, steps=(2, 2, 2)), stop)


def test_damaged_weights_are_told_by_the_step_that_failed():
    model = make_model()
    torch.nn.init.constant_(model.detokenize.linear.bias, float("nan"))
    with pytest.raises(RunFailed) as caught:
        run_hpdm(model.eval(), make_request(CONFIG, steps=(2, 2, 2)))
    assert caught.value.step == 1


def test_on_a_device_that_lags_no_step_waits_and_the_last_one_is_sure(model, monkeypatch):
    device, waits = LateDevice(monkeypatch, lag=2), []
    monkeypatch.setattr("engine.hpdm.pyramid_run.LateFlags", device.flags)
    run_hpdm(model, make_request(CONFIG, steps=(2, 2, 2)), lambda event: waits.append(device.waits))
    assert waits[:-1] == [0] * 5
    assert waits[-1] > 0
    torch.nn.init.constant_(model.detokenize.linear.bias, float("nan"))
    with pytest.raises(RunFailed) as caught:
        run_hpdm(model, make_request(CONFIG, steps=(2, 2, 2)), waits.append)
    assert (caught.value.step, len(waits)) == (1, 8)


@pytest.mark.parametrize(("asked", "field"), [
    ({"steps": (1, 2)}, "steps"), ({"steps": (1, 2, 0)}, "steps"), ({"steps": "123"}, "steps"),
    ({"levels": 4}, "levels"),
    ({"levels": True}, "levels"), ({"overlap": "half"}, "overlap"), ({"cache": "disk"}, "cache"),
    ({"guidance": float("nan")}, "guidance"), ({"guidance": "2"}, "guidance"), ({"seed": -1}, "seed"),
    ({"heun": 1}, "heun"), ({"memory_mib": 0}, "memory_mib"), ({"tiles": 3}, "tiles"), ({"prompt": "a dog"}, "prompt"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_name(asked, field):
    with pytest.raises(InvalidInput) as caught:
        make_request(CONFIG, **asked)
    assert caught.value.field == field


@pytest.mark.parametrize(("prompt", "labels"), [
    ("a red heart over a blue background", (1, 2)), ("a heart over red", (1, 1)), ("a frog", (2, 0)), ("", (0, 0)),
    ("A  RED   Heart", (1, 0)), ("red frog", (2, 1)), ("a frog over a BLUE background", (2, 2)),
])  # fmt: skip
def test_prompts_are_understood_by_their_names(prompt, labels):
    assert understand(prompt, CONFIG.conditions).labels == labels


def test_part_of_a_word_is_not_a_name():
    with pytest.raises(InvalidInput):
        understand("frogspawn", CONFIG.conditions)


SHAPES = (
    {"dim": 32, "latent_dim": 32, "latents": 8},
    {"patch": (4, 16, 16), "token": (2, 2, 2), "dim": 64, "latent_dim": 96, "latents": 24, "heads": 4},
    {"fusion": "none", "dim": 32, "level_blocks": (3, 3, 3)},
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rows_estimate_covers_what_is_alive_and_not_much_more(shape):
    model = make_model(**shape).eval()
    rows = 8
    levels = make_inputs(model.config, rows=rows)
    with torch.no_grad():
        below = {}
        for k in (0, 1):
            state = model.start(k, levels[k])
            model.run([state], below, record=True)
            below[k] = Features(levels[k].offsets, state.inputs)
        with LiveBytes() as live:
            state = model.start(2, levels[2])
            from_cache = {k: Features(f.offsets, {i: a.clone() for i, a in f.inputs.items()}) for k, f in below.items()}
            model.run([state], from_cache)
            model.finish(state)
    estimate = rows * row_bytes(model.config)
    assert live.peak <= estimate < 3 * live.peak


def test_a_larger_budget_runs_more_tiles_at_once():
    assert tile_batch(CONFIG, 1) >= 1
    assert tile_batch(CONFIG, 64) == pytest.approx(64 * tile_batch(CONFIG, 1), rel=0.2)


def test_a_saved_model_comes_back_whole(model, tmp_path):
    save_hpdm(model, tmp_path)
    assert is_hpdm(tmp_path)
    back = load_hpdm(tmp_path)
    assert back.config == model.config
    for a, b in zip(model.state_dict().values(), back.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_is_no_model_is_told_apart(model, tmp_path):
    with pytest.raises(ModelNotFound):
        load_hpdm(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "WanPipeline"}')
    assert not is_hpdm(tmp_path)
    (tmp_path / "config.json").write_text("not json")
    assert not is_hpdm(tmp_path)
    save_hpdm(model, tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    raw["model"]["dim"] = 32
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(InvalidInput):
        load_hpdm(tmp_path)
