"""Metrics that cannot be had: each is missing with its reason and what helps."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.measuring import similarity as measures
from engine.measuring import video
from engine.measuring.similarity import similarity


def test_lpips_is_missing_with_the_remedy_when_not_installed(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    measures._lpips_network.cache_clear()
    metric = similarity(base[:1], base[:1], fps=8)["lpips"]
    assert metric.mean is None
    assert str(metric.reason).startswith("not installed")


def test_lpips_is_used_when_it_is_there(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    def network(a: object, b: object) -> float:
        """Where in -1..1 the top left pixel's green and blue are."""
        assert a.shape == b.shape == (1, 3, 128, 128)  # type: ignore[attr-defined]
        return float(a[0, 1, 0, 0]) + 10 * float(b[0, 2, 0, 0])  # type: ignore[index]

    def load(**options: object) -> object:
        made.append(options)
        return network

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=load))
    measures._lpips_network.cache_clear()
    expected = (2 * base[:2, 0, 0, 1] - 1) + 10 * (2 * base[1:3, 0, 0, 2] - 1)
    for _ in range(2):
        assert measures.lpips(base[:2], base[1:3]).frames == pytest.approx(tuple(expected), abs=1e-5)
    assert made == [{"net": "alex", "verbose": False}]  # once
    measures._lpips_network.cache_clear()


def test_an_lpips_that_cannot_load_its_weights_is_missing(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise EOFError("truncated")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=fail))
    measures._lpips_network.cache_clear()
    assert "truncated" in str(similarity(base[:1], base[:1], fps=8)["lpips"].reason)


@pytest.mark.parametrize(
    "script",
    [
        'echo "No such filter: libvmaf" >&2; exit 8',
        "kill -11 $$",
        "exit 0",
        'for a; do :; done; echo "n: 1 XPSNR y: 30 XPSNR u: 30 XPSNR v: 30" | tee vmaf > xpsnr',
        "echo '{\"frames\": [{}]}' | tee vmaf > xpsnr",
    ],
)
def test_a_broken_ffmpeg_takes_only_its_own_metrics(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    block = similarity(base[:2], base[:2], fps=8)
    assert block["vmaf"].mean is None
    assert block["vmaf"].reason
    assert block["xpsnr"].mean is None
    assert "ffmpeg" in str(block["xpsnr"].reason)
    assert block["psnr"].mean == 100.0


def test_an_ffmpeg_without_vmaf_still_gives_xpsnr(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *libvmaf*) exit 8;; esac\nexec {video.ffmpeg()} "$@"')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    whole = similarity(base[:3] * 0.9, base[:3], fps=8)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    block = similarity(base[:3] * 0.9, base[:3], fps=8)
    assert block["vmaf"].mean is None
    assert "code 8" in str(block["vmaf"].reason)
    assert block["xpsnr"] == whole["xpsnr"]


def test_a_missing_ffmpeg_is_named_with_the_remedy(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    block = similarity(base[:2], base[:2], fps=8)
    for name in ("vmaf", "xpsnr"):
        assert block[name].mean is None
        assert "pip install imageio-ffmpeg" in str(block[name].reason)


def test_an_ffmpeg_that_hangs_is_ended(base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 60")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    monkeypatch.setattr(video, "TIMEOUT_S", 0.2)
    assert "was ended" in str(similarity(base[:2], base[:2], fps=8)["vmaf"].reason)
