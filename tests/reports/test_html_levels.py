"""Levels of a hierarchical patch model on the self-contained page."""

from __future__ import annotations

import base64
from pathlib import Path

from engine.reports import html
from tests.reports.test_html import found
from tests.ui.test_pyramid_value import level, report


def test_every_level_is_on_the_page_to_the_byte_with_its_size_and_seam_ratio(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"00-level-{number}.mp4").write_bytes(f"level {number}".encode())
    text = html.render(report([level(1), level(2), level(3)]), tmp_path)
    assert text.count('class="level"') == 2
    for number in (1, 2):
        assert base64.b64encode(f"level {number}".encode()).decode() in text
    assert text.count("The video file is missing.") >= 1  # level 3's
    assert "</b> 8 frames of 32×32<br>" in text
    assert "18 tiles, seam ratio 1.50" in text
    assert "1 tile, no seams" in text


def test_a_page_without_levels_does_not_speak_of_them(tmp_path: Path) -> None:
    assert 'class="pyramid"' not in html.render(found(), tmp_path)
