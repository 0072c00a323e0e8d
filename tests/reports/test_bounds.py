"""What a report becomes in memory is bounded before it is read; tried in a process whose peak is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InvalidInput
from engine.reports import report_file
from tests.reports.test_schema import fields

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "ui/example/report.json"
MOST_S, MOST_MB = 1.0, 300
READ = """
import json, sys, time
from pathlib import Path
from engine.errors import InvalidInput
from engine.reports.report_file import load
from tests.reports.test_bounds import HOSTILE

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

path, told = Path(sys.argv[1]), {}
for name, make in HOSTILE.items():
    make(path)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # what making it took is not what reading it takes
    before, start = peak(), time.perf_counter()
    try:
        load(path)
        error = "taken"
    except InvalidInput as refusal:
        error = str(refusal)
    told[name] = (time.perf_counter() - start, (peak() - before) / 1000, error)
print(json.dumps(told))
"""


def written(text: str) -> Any:
    return lambda path: path.write_text(text)


def _runs(count: int, run: str) -> str:
    return EXAMPLE.read_text()[:-3].rstrip().removesuffix("]") + "".join([f",{run}" * count, "]}"])


def _frames(count: int) -> str:
    whole = fields()
    whole["runs"][1]["similarity"] = whole["runs"][1]["similarity"] | {
        "psnr": {"mean": 1, "min": 1, "frames": ["HERE"], "reason": None}
    }
    return json.dumps(whole).replace('"HERE"', "2" + ",2" * (count - 1))


def _doubled(count: int) -> str:
    return "{" + '"a":1,' * count + '"b":1}'


def _unknown(count: int) -> str:
    return "{" + "".join(f'"{number:x}":1,' for number in range(count)) + '"b":1}'


def _many_faults() -> str:
    return json.dumps(fields(runs=[{f"k{number}-{key}": 0 for key in range(500)} for number in range(65)]))


HOSTILE: dict[str, Any] = {
    "8 million wrong runs": lambda path: written(_runs(8_000_000, "0"))(path),
    "1.4 million unknown keys": lambda path: written(_unknown(1_400_000))(path),
    "one key 2.4 million times": lambda path: written(_doubled(2_400_000))(path),
    "one key 8 million times": lambda path: written(_doubled(8_000_000))(path),
    "7 million values of one metric": lambda path: written(_frames(7_000_000))(path),
    "values of one metric up to the bound": lambda path: written(_frames(290_000))(path),
    "wrong runs up to the bound": lambda path: written(_runs(290_000, "0"))(path),
    "a key twice up to the bound": lambda path: written(_doubled(145_000))(path),
    "unknown keys up to the bound": lambda path: written(_unknown(145_000))(path),
    "unknown keys in every run": lambda path: written(_many_faults())(path),
    "open brackets": lambda path: written("[" * 290_000)(path),
    "a text that never ends": lambda path: written('{"a":"' + '\\"' * 4_000_000)(path),
    "a huge key": lambda path: written('{"' + "k" * 7_000_000 + '":1}')(path),
    "a huge prompt": lambda path: written(json.dumps(fields(prompt="p" * 7_000_000)))(path),
    "a huge integer": lambda path: written(json.dumps(fields()).replace("42", "4" * 7_000_000))(path),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, float, str]]:
    """By name: the seconds and megabytes that a refusal took, and what it said."""
    command = [sys.executable, "-c", READ, str(tmp_path_factory.mktemp("hostile") / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_report_that_would_fill_the_memory_is_refused_at_once(
    refusals: dict[str, tuple[float, float, str]], name: str
) -> None:
    seconds, megabytes, error = refusals[name]
    print(f"{name}: {seconds:.2f} s, {megabytes:.0f} MB: {error[:100]}")
    assert error.startswith("report.json is ")
    assert len(error) < 500
    assert seconds < MOST_S
    assert megabytes < MOST_MB


def long_run(name: str, frames: int, steps: int) -> dict[str, Any]:
    """A finished run of a long video, with all that a run can have."""
    metric = {"mean": 31.25, "min": 30.5, "frames": [31.123456789 + k for k in range(frames)], "reason": None}
    names = ("psnr", "psnr_pooled", "ssim", "ms_ssim", "vmaf", "xpsnr", "flicker", "lpips")
    similarity = dict.fromkeys(names, metric)
    run = fields()["runs"][0]
    stage = run["stages"][0] | {"last_step": steps}
    tile = [[k, 3 * k, 5 * k] for k in range(400)]
    size = {"width": 4096, "height": 4096, "frames": 1000, "steps": steps, "patch": [1, 2, 2]}
    level = size | {"level": 1, "video": "00-level-1.mp4", "tiles": tile, "seam": 1.1, "seconds": 2.0}
    edges = [0, 0.25, 0.5, 0.75, 1.0]
    bands = {"edges": edges, "threshold": 0.05, "settled": [1] * 4, "error": [[0.123456] * steps] * 4}
    return run | {
        "name": name,
        "stages": [stage],
        "sigmas": [0.987654321] * steps,
        "experts": [1] * steps,
        "latency": {"total_s": 9.0, **dict.fromkeys(("steps_s", "repeat_s", "beside_s"), [1.23456789] * steps)},
        "memory": {"kind": "cuda", "peak_bytes": 10**10, "steps_bytes": [10**10] * steps},
        "similarity": similarity,
        "pyramid": [level] * 3,
        "bands": bands,
    }


@pytest.mark.parametrize(("frames", "steps", "runs"), [(161, 200, 9), (1000, 1000, 9), (161, 50, 33)])
def test_results_of_long_videos_are_read(tmp_path: Path, frames: int, steps: int, runs: int) -> None:
    names = ["baseline", *(f"schedule {number}" for number in range(1, runs))]
    whole = fields(steps=steps, runs=[long_run(name, frames, steps) for name in names])
    path = tmp_path / "report.json"
    path.write_text(json.dumps(whole, indent=1))
    assert len(report_file.load(path).runs) == runs


def test_faults_are_counted_where_there_are_many(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(fields() | {f"k{number}": 1 for number in range(400)}))
    with pytest.raises(InvalidInput, match=r"is not a report: it has 400 faults\.$"):
        report_file.load(path)


def test_a_text_of_a_report_is_shown_short_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(fields() | {"k" * 9000 + "\x1b[31m": 1}))
    with pytest.raises(InvalidInput) as caught:
        report_file.load(path)
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)
