"""Recipes: everything that decides what is trained, as frozen dataclasses. One code, two recipes."""

from __future__ import annotations

from dataclasses import dataclass

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.patch_noise import SIGMA_START

RATES = (1.0, 0.75, 0.5)
MOTIONS = (
    "still",
    "drifting left",
    "drifting right",
    "drifting up",
    "drifting down",
    "bouncing",
    "growing",
    "shrinking",
    "turning",
)
TEXTURES = ("plain", "gradient", "stripes", "checks", "bricks", "stars", "wood")
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 64, 69),
    "orange": (240, 145, 60),
    "yellow": (246, 208, 84),
    "green": (88, 178, 104),
    "blue": (72, 132, 220),
    "purple": (142, 100, 196),
    "pink": (240, 150, 186),
    "grey": (150, 156, 166),
}
NANO_EMOJI = (
    "red apple",
    "banana",
    "strawberry",
    "pizza",
    "mushroom",
    "cactus",
    "red heart",
    "star",
    "soccer ball",
    "rocket",
    "ghost",
    "robot",
    "octopus",
    "frog",
    "panda",
    "cat face",
)


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """What scenes look like. Lengths are fractions of the side, `period` is the texture period in pixels."""

    side: int
    frames: int
    emoji: tuple[str, ...]  # empty: the `limit` plainest that the packages hold
    limit: int
    animated: bool
    two_actors: float  # share of scenes with two emoji
    size: tuple[float, float]
    jitter: float
    travel: float
    period: tuple[float, float]
    free_phase: bool  # textures start anywhere and lie at any angle, instead of one fixed layout
    asset_side: int


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """Shape and training of the autoencoder. `clip` items are (frames, crop side, batch, weight)."""

    encoder_dim: int
    decoder_dim: int
    res_blocks: int
    clip: tuple[tuple[int, int, int, float], ...]
    minutes: float
    lr: float
    residual: bool = True
    z_dim: int = 16
    kl: float = 1e-5
    equivariance: float = 0.4
    gradient_loss: float = 0.5
    latent_noise: float = 0.0  # up to this much noise on the latents to decode, in units of their deviation
    muon: float = 0.0  # rate of Muon on the inner weights, in units of `lr`; 0: AdamW alone
    warmup: int = 100
    ema: float = 0.998


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the curriculum: share of the run, and (latent frames, rate, batch, weight) to draw from."""

    until: float
    mix: tuple[tuple[int, float, int, float], ...]


@dataclass(frozen=True, slots=True)
class DitConfig:
    """Shape and training of the transformer and of its text encoder."""

    heads: int
    layers: int
    ffn: int
    text_dim: int
    text_layers: int
    phases: tuple[Phase, ...]
    minutes: float
    lr: float
    bank_clips: int
    bank_stills: int
    muon: float = 4.0  # rate of Muon on the matrices of the blocks, in units of `lr`; 0: AdamW alone
    head_dim: int = 64
    max_length: int = 16
    caption_dropout: float = 0.1
    shift: float = 3.0
    warmup: int = 200
    decay: float = 0.4  # share of the run, at its end, over which the rate falls to nothing
    ema: float = 0.999
    consistency: tuple[tuple[float, float], ...] = ()  # (rate, weight) to draw one from: see training.consistency


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Shape and training of the classifier that marks the generator's work."""

    width: int
    steps: int
    batch: int
    lr: float = 2e-3


@dataclass(frozen=True, slots=True)
class Recipe:
    """All there is to say about one trained model."""

    name: str
    scenes: SceneConfig
    vae: VaeConfig
    dit: DitConfig
    judge: JudgeConfig
    fps: int = 8
    steps: int = 30
    guidance: float = 3.0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class FanOut:
    """Rows of a step where every patch that counts has finished parents (training.hpdm_rows).

    By level: `finished` patches (none at the finest), patches that are `counted`, and mean and deviation of the
    logarithm of their noise level, held between `lowest` and `start`, and the `weights` of their losses. A share
    `at_start` is at `start` itself, where sampling begins.
    """

    finished: tuple[int, ...]
    counted: tuple[int, ...]
    log_sigma: tuple[tuple[float, float], ...]
    weights: tuple[float, ...]
    start: float = SIGMA_START
    lowest: float = 0.005
    at_start: float = 0.05


@dataclass(frozen=True, slots=True)
class HpdmRecipe:
    """All there is to say about one trained hierarchical patch model; `model.conditions` are filled in from the scenes.

    A batch has `batch` videos with a patch at every level and `coarse` more with one at level 0 alone. `clean` is the
    share of videos whose lower levels are as good as finished, as they are at sampling. `self_condition` is the share
    of steps that run twice, the second time with the latents of the first. With `fan_out` these three do not count.
    """

    name: str
    scenes: SceneConfig
    motions: tuple[str, ...]
    textures: tuple[str, ...]
    model: HpdmConfig
    batch: int
    coarse: int
    minutes: float
    lr: float
    clips: int
    muon: float = 2.0
    warmup: int = 100
    decay: float = 0.5
    ema: float = 0.998
    clean: float = 0.7
    dropout: float = 0.1
    self_condition: float = 0.3
    steps: tuple[int, ...] = (32, 16, 8)
    guidance: float = 2.0
    overlap: str = "spatial"
    fps: int = 8
    threads: int = 1
    fan_out: FanOut | None = None
