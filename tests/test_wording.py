"""Words that several packages say alike."""

from __future__ import annotations

import pytest

from engine.wording import first_line, gb_text, gib_text


def test_an_errors_first_line_is_short_and_never_fails():
    assert first_line(ValueError("\n  the first\nthe second")) == "the first"
    assert first_line(ValueError("x" * 500)) == "x" * 200
    assert first_line(ValueError("x" * 500), 3) == "xxx"
    assert first_line(ValueError(" \n")) == "ValueError"
    assert first_line(ValueError(), otherwise="") == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0 MiB"), (2**30 - 1, "1024 MiB"), (1.5 * 2**30, "1.50 GiB")])
def test_bytes_in_binary_units(count, text):
    assert gib_text(count) == text


@pytest.mark.parametrize(
    ("count", "decimals", "text"),
    [(9.94e9, None, "9.9 GB"), (1e10, None, "10 GB"), (2.8e10, 1, "28.0 GB"), (7.4e9, 0, "7 GB")],
)
def test_bytes_in_decimal_units(count, decimals, text):
    assert gb_text(count, decimals) == text
