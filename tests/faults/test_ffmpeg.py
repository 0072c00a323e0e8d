"""Fault 24: ffmpeg is missing or crashes; the frames are kept, and what could not be measured says why."""

from __future__ import annotations

import stat

import pytest

from engine.comparing.comparison import compare
from engine.models.loading import load_model
from engine.reports.html import write_index
from tests.comparing.test_comparison import experiment
from tests.tiny import saved_tiny_wan

BROKEN = {
    "missing": None,
    "ends with an error": "#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n",
    "is killed": "#!/bin/sh\nkill -SEGV $$\n",
    "reads nothing": "#!/bin/sh\nexec <&-\nexit 3\n",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
def test_with_a_broken_ffmpeg_frames_are_kept_as_webp_and_ffmpeg_is_named(model, tmp_path, monkeypatch, caplog, script):
    binary = tmp_path / "ffmpeg"
    if script is not None:
        binary.write_text(script)
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(binary))
    out = tmp_path / "out"
    report = compare(experiment(model, "0.5@2"), model, out, noise_floor=False, numbered=True)
    assert [(run.status, run.video) for run in report.runs] == [("done", "00.webp"), ("done", "01.webp")]
    for run in report.runs:
        data = (out / run.video).read_bytes()
        assert data[:4] == b"RIFF"
        assert data[8:12] == b"WEBP"
    assert "ffmpeg" in caplog.text
    similarity = report.runs[1].similarity
    assert similarity.psnr.mean is not None
    assert similarity.vmaf.mean is None
    assert "ffmpeg" in similarity.vmaf.reason
    assert not list(out.glob("*.mp4*"))
    assert not list(out.glob("*.part"))
    write_index(report, out)
    assert "image/webp" in (out / "index.html").read_text("utf-8")
