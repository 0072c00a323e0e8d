"""The report of one comparison, `report.json`: a versioned schema, explained in docs/report.md.

Frozen pydantic models that refuse unknown fields and anything not finite. What could not be measured is
null with a reason beside it, never 0. Seconds, bytes and steps (which count from 1) as named.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    model_validator,
)

from engine.caches.cache_choice import parse_cache
from engine.errors import InvalidInput
from engine.hpdm.level_choice import parse_levels
from engine.measuring.similarity import Metric, no_similarity
from engine.measuring.video import whole_file

VERSION: Literal[1] = 1
MAX_BYTES = 64 * 1024 * 1024


def _plain_file(name: str) -> str:
    """A file beside the report. Refuses folders, so that a stranger's report cannot name other files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise ValueError("a file name of letters, digits and ._- without a folder is needed")
    return name


def _finite_json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    json.dumps(value, allow_nan=False)
    return value


def _known_cache(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        parse_cache(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return value


def _known_levels(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        parse_levels(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return value


Seconds = Annotated[FiniteFloat, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
FileName = Annotated[str, AfterValidator(_plain_file)]
LevelKeys = Annotated[dict[str, JsonValue], AfterValidator(_known_levels)]
ScheduleKeys = Annotated[dict[str, JsonValue], AfterValidator(_finite_json)]
CacheKeys = Annotated[dict[str, JsonValue], AfterValidator(_known_cache)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VideoSize(_Part):
    """Size of the video: pixels and frames."""

    width: Count
    height: Count
    frames: Count


class PictureName(_Part):
    """A picture that the runs started from: its name, and its size in pixels. Its file is `input-SHA256.png`."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: Count
    height: Count


class ControlVideoName(PictureName):
    """A video that the runs followed; `frames` is how many it has. Its file is `input-SHA256.mp4`."""

    frames: Count


class Environment(_Part):
    """What the runs were made with; nothing that identifies a person or a machine."""

    resolute: str
    python: str
    torch: str
    diffusers: str | None = None
    platform: str
    device: str
    device_name: str | None = None
    dtype: str
    threads: Count | None = None
    loading: tuple[str, ...] = ()  # offload, tiling, quantised weights, LoRA


class StageEntry(_Part):
    """Consecutive steps at one resolution."""

    first_step: Count
    last_step: Count
    rate: Annotated[FiniteFloat, Field(gt=0, le=1)]
    width: Count
    height: Count
    latent_width: Count
    latent_height: Count
    tokens: Count

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> StageEntry:
        if self.last_step < self.first_step:
            raise ValueError(f"last_step {self.last_step} lies before first_step {self.first_step}")
        return self


class Latency(_Part):
    """Seconds of one run, part by part; null where a part was not reached."""

    total_s: Seconds | None = None
    text_s: Seconds | None = None
    denoise_s: Seconds | None = None
    decode_s: Seconds | None = None
    encode_s: Seconds | None = None
    warm_up_s: Seconds | None = None
    steps_s: tuple[Seconds, ...] = ()


class Memory(_Part):
    """Peak memory of one run, labelled by what was measured."""

    kind: Literal["cuda", "rss_above_start"]
    peak_bytes: Bytes | None
    reserved_bytes: Bytes | None = None
    steps_bytes: tuple[Bytes | None, ...] = ()
    before_bytes: Bytes | None = None
    decode_bytes: Bytes | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _missing_has_a_reason(self) -> Memory:
        if self.peak_bytes is None and not self.reason:
            raise ValueError("a peak that is null needs a reason")
        return self


class Speedup(_Part):
    """How many times faster than the baseline of the same report; of the denoising loop."""

    measured: Annotated[FiniteFloat, Field(gt=0)] | None = None
    by_flops: Annotated[FiniteFloat, Field(gt=0)] | None = None


class Similarity(_Part):
    """Similarity to the baseline, which is not quality. Built by `Similarity(**similarity(...))`."""

    psnr: Metric
    ssim: Metric
    ms_ssim: Metric
    vmaf: Metric
    xpsnr: Metric
    flicker: Metric
    lpips: Metric

    @classmethod
    def missing(cls, reason: str) -> Similarity:
        """All metrics null for one reason."""
        return cls(**no_similarity(reason))

    def metrics(self) -> dict[str, Metric]:
        """The metrics by name, in the order of the schema."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class StageEvaluations(_Part):
    """One stage's part of `Evaluations`."""

    computed: Annotated[int, Field(ge=0)]
    skipped: Annotated[int, Field(ge=0)]


class EvaluationCounts(_Part):
    """Forward passes of the transformer in one run (with guidance two a step), counted as they happened.

    `computed`: every part that a cache could replace was computed. `skipped`: something cached stood in for at least
    one of them.
    """

    computed: Annotated[int, Field(ge=0)]
    skipped: Annotated[int, Field(ge=0)]
    stages: tuple[StageEvaluations, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> EvaluationCounts:
        for name in ("computed", "skipped"):
            total = sum(getattr(stage, name) for stage in self.stages)
            if self.stages and total != getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}, but its stages have {total}")
        return self


class Uncached(_Part):
    """Similarity of a run with a cache to the same schedule without, if that ran: `run` is its name."""

    run: Annotated[str, Field(min_length=1, max_length=200)] | None
    similarity: Similarity


class Bands(_Part):
    """At which step each band of spatial detail settled. Bands lie between `edges`, shares of the Nyquist frequency.

    `error[k][i]`: energy of the difference between the guess after step i + 1 and the final latents, in band k, over
    the band's energy in the final latents. `settled[k]`: the step from which it stays at or under `threshold`.
    """

    edges: tuple[FiniteFloat, ...]
    threshold: Annotated[FiniteFloat, Field(gt=0)]
    settled: tuple[Count, ...]
    error: tuple[tuple[Annotated[FiniteFloat, Field(ge=0)], ...], ...]

    @model_validator(mode="after")
    def _one_a_band(self) -> Bands:
        if not len(self.edges) - 1 == len(self.settled) == len(self.error):
            raise ValueError("settled and error need one entry for each band between two edges")
        return self


SeamRatio = Annotated[FiniteFloat, Field(ge=0)]


class Seams(_Part):
    """Lines where tiles begin or end, piece by piece: the mean jump across a piece over that just beside it.

    Lines lie every `spacing` (height, width) pixels; a piece is as long as the spacing along it. `vertical`: lines from
    the left, pieces from the top; `horizontal`: lines from the top, pieces from the left.
    """

    spacing: tuple[Count, Count]
    vertical: tuple[tuple[SeamRatio, ...], ...]
    horizontal: tuple[tuple[SeamRatio, ...], ...]


class LevelVideo(_Part):
    """A finished level of a hierarchical patch model: its own video, where its tiles lie, and how well they fit.

    `tiles` are offsets (frame, y, x) of patches of size `patch`, in the level's own frames and pixels. `seam`: the mean
    jump between pixels on either side of a line where tiles without overlap meet, over that elsewhere; 1 is a picture
    without seams, null a level of one tile. `seams`: line by line; null where it was not measured.
    """

    level: Count
    video: FileName
    width: Count
    height: Count
    frames: Count
    steps: Count
    patch: tuple[Count, Count, Count]
    tiles: tuple[tuple[Index, Index, Index], ...] = ()
    seam: SeamRatio | None
    seams: Seams | None = None
    seconds: Seconds

    @model_validator(mode="after")
    def _fits(self) -> LevelVideo:
        size = (self.frames, self.height, self.width)
        for tile in self.tiles:
            if any(at + length > whole for at, length, whole in zip(tile, self.patch, size, strict=True)):
                raise ValueError(f"a tile of {self.patch} at {tile} lies outside the level's {size}")
        if self.seams is not None:
            down, right = self.seams.spacing
            for lines, across, along in (
                (self.seams.vertical, self.width // right, self.height // down),
                (self.seams.horizontal, self.height // down, self.width // right),
            ):
                if lines and (len(lines) != across - 1 or {len(line) for line in lines} != {along}):
                    raise ValueError(f"seams of spacing {self.seams.spacing} are not those of the level's {size}")
        return self


class Run(_Part):
    """One schedule under one policy, and what came of it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    policy: str | None
    schedule: ScheduleKeys
    status: Literal["done", "failed", "cancelled"]
    error: str | None = None
    stages: tuple[StageEntry, ...] = ()
    sigmas: tuple[FiniteFloat, ...] = ()
    latency: Latency = Latency()
    memory: Memory
    flops: Annotated[int, Field(ge=0)] | None = None
    speedup: Speedup = Speedup()
    similarity: Similarity
    cache: CacheKeys | None = None
    evaluations: EvaluationCounts | None = None
    uncached: Uncached | None = None
    video: FileName | None = None
    heatmap: FileName | None = None
    levels: LevelKeys | None = None  # of a hierarchical patch model
    pyramid: tuple[LevelVideo, ...] = ()
    reused: str | None = None
    bands: Bands | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Run:
        if self.status == "failed" and not self.error:
            raise ValueError("a failed run needs its error")
        if self.status == "done" and self.error:
            raise ValueError("a run that is done has no error")
        if self.uncached is not None and self.cache is None:
            raise ValueError("a run without a cache is not compared with an uncached one")
        expected = 1
        for stage in self.stages:
            if stage.first_step != expected:
                raise ValueError(f"a stage starts at step {stage.first_step}, expected {expected}")
            expected = stage.last_step + 1
        return self

    @property
    def told_policy(self) -> str | None:
        """Policy and cache, or levels, in one line, as tables show them; None for a baseline that has one size."""
        cache = str(parse_cache(self.cache)) if self.cache else None
        levels = parse_levels(self.levels).told if self.levels else None
        return ", ".join(word for word in (self.policy, cache, levels) if word) or None

    def stage_of(self, step: int) -> StageEntry | None:
        """The stage that a step (from 1) belongs to; None where the stages are not known."""
        return next((stage for stage in self.stages if stage.first_step <= step <= stage.last_step), None)


class Report(_Part):
    """One comparison: the baseline, always first, and the runs beside it."""

    version: Literal[1] = VERSION
    created: AwareDatetime
    model: str
    prompt: str
    negative_prompt: str = ""
    seed: Annotated[int, Field(ge=0)]
    size: VideoSize
    fps: Annotated[FiniteFloat, Field(gt=0)]
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: FiniteFloat
    guidance_2: FiniteFloat | None = None  # of the second expert
    shift: Annotated[FiniteFloat, Field(gt=0)] | None
    solver: str
    image: PictureName | None = None
    last_image: PictureName | None = None
    video: ControlVideoName | None = None
    environment: Environment
    heatmap_gain: Annotated[FiniteFloat, Field(gt=0)] | None = None
    noise_floor: Similarity | None = None
    noise_floor_reason: str | None = None
    runs: Annotated[tuple[Run, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Report:
        names = [run.name for run in self.runs]
        if names[0] != "baseline":
            raise ValueError(f'the first run must be named "baseline", got {names[0]!r}')
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        if self.noise_floor is None and not self.noise_floor_reason:
            raise ValueError("a noise_floor that is null needs its noise_floor_reason")
        for run in self.runs:
            longest = max(len(run.latency.steps_s), len(run.memory.steps_bytes), len(run.sigmas))
            if longest > self.steps or (run.stages and run.stages[-1].last_step > self.steps):
                raise ValueError(f"run {run.name!r} has more steps than the report's {self.steps}")
        return self

    @property
    def baseline(self) -> Run:
        return self.runs[0]


def schema() -> dict[str, Any]:
    """JSON Schema of `report.json`."""
    return Report.model_json_schema(mode="serialization")


def dumps(report: Report) -> str:
    """The report as indented JSON text. Raises ValueError rather than write NaN or an infinity."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def save(report: Report, path: str | Path) -> None:
    """Write `report.json` as UTF-8, whole or not at all. Raises RunFailed when the disk fails."""
    text = dumps(report)
    with whole_file(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def load(path: str | Path) -> Report:
    """Read a `report.json` strictly. Raises InvalidInput naming the file, the field and the reason."""
    name = Path(path).name
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise InvalidInput("report", f"{name} has {size} bytes; a report has at most {MAX_BYTES}.")
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput("report", f"{name} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    try:
        return Report.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise InvalidInput("report", f"{name} is not a report: {_first_fault(error)}.") from error


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False)
    version = next((fault for fault in faults if fault["loc"] == ("version",)), None)
    if version and isinstance(version["input"], int):
        return f"it has version {version['input']}, this Resolute reads version {VERSION}"
    where = ".".join(map(str, faults[0]["loc"])) or "the file"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg'].rstrip('.')}{more}"
