"""Scenes: reproducible, described by their captions, the same at every size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.config import COLORS, MOTIONS, TEXTURES
from training.data import Scenes, crops
from training.scenes import Actor, full_caption, sample_scene, scale
from training.textures import Background, pattern


def test_the_same_number_is_the_same_scene(scenes: Scenes) -> None:
    other = Scenes(scenes.cfg, scenes.pictures)
    assert scenes.scene(5) == other.scene(5)
    assert torch.equal(scenes.clip(5), other.clip(5))
    assert scenes.scene(5) != scenes.scene(6)


def test_captions_say_what_is_in_the_scene(scenes: Scenes) -> None:
    for number in range(200):
        scene = scenes.scene(number)
        actor, said = scene.actors[0], scene.caption
        assert actor.name.split()[-1] in said or actor.name.split()[0] in said
        others = {m for m in MOTIONS if m != actor.motion and m in said}
        assert not others
        assert not {c for c in COLORS if c != scene.background.color and c in said.split()} - {"red"}
        if " over " in said:
            assert scene.background.words in said


def test_the_full_caption_names_emoji_motion_texture_and_color() -> None:
    actor = Actor("octopus", "drifting left", 0.6, 0.5, 0.5, 0.3)
    assert full_caption((actor,), Background("stripes", "blue", 16)) == "an octopus drifting left over blue stripes"
    assert full_caption((actor,), Background("plain", "orange", 16)).endswith("over an orange background")


def test_two_emoji_are_two_different_ones(scenes: Scenes) -> None:
    scene = sample_scene(replace(scenes.cfg, two_actors=1.0), scenes.names, 3)
    assert len({a.name for a in scene.actors}) == 2
    assert " and " in scene.caption


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("drifting left", 0, -1), ("drifting right", 0, 1), ("drifting up", 1, -1), ("drifting down", 1, 1)],
)
def test_drift_goes_where_its_name_says(motion: str, axis: int, sign: int) -> None:
    actor = Actor("frog", motion, 0.6, 0.5, 0.5, 0.3)
    assert (actor.pose(1.0)[axis] - actor.pose(0.0)[axis]) * sign == pytest.approx(0.3)


def test_growing_grows_and_still_stays() -> None:
    grow, still = (Actor("frog", m, 0.6, 0.5, 0.5, 0.3) for m in ("growing", "still"))
    assert grow.pose(1.0)[2] > 1.5 * grow.pose(0.0)[2]
    assert still.pose(0.0) == still.pose(0.7)


def test_clips_have_shape_and_range(scenes: Scenes) -> None:
    clip = scenes.clip(0)
    assert clip.shape == (3, 5, 32, 32)
    assert clip.min() >= -1
    assert clip.max() <= 1
    assert torch.equal(scenes.clip(0, 1), clip[:, :1])
    assert torch.equal(scenes.clip(0, every=4), clip[:, ::4])


def test_a_smaller_clip_is_the_same_whole_scene(scenes: Scenes) -> None:
    clip = scenes.clip(1)
    small = scale(clip, 16)
    assert small.shape == (3, 5, 16, 16)
    assert torch.allclose(small.mean((2, 3)), clip.mean((2, 3)), atol=0.02)
    batch = scale(torch.stack([clip, clip]), 16)
    assert torch.equal(batch[1], small)


@pytest.mark.parametrize("texture", TEXTURES)
def test_every_texture_draws_weights(texture: str) -> None:
    weight = pattern(Background(texture, "blue", 8.0, 0.3, (0.1, 0.7)), 32)
    assert weight.shape == (32, 32)
    assert weight.min() >= -1e-4
    assert weight.max() <= 1 + 1e-4
    assert texture == "plain" or weight.std() > 0.1


def test_an_unknown_texture_is_an_error() -> None:
    with pytest.raises(ValueError, match="tartan"):
        pattern(Background("tartan", "blue", 8.0), 8)


def test_crops_are_reproducible_and_cover_all_sizes(scenes: Scenes) -> None:
    batch = crops(scenes, range(4), 5, 16)
    assert batch.shape == (4, 3, 5, 16, 16)
    assert torch.equal(batch[2:], crops(scenes, range(2, 4), 5, 16))
