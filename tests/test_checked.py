"""Numbers, flags and words from outside: what counts as one, and how one that does not is refused."""

from __future__ import annotations

import math

import pytest

from engine.checked import checked_choice, checked_flag, checked_integer, checked_number, is_integer, is_number
from engine.errors import InvalidInput


@pytest.mark.parametrize("value", [True, False, None, "3", [3], {}])
def test_what_is_no_number(value):
    assert not is_integer(value)
    assert not is_number(value)


def test_a_float_is_a_number_and_no_integer():
    assert is_number(3.0)
    assert not is_integer(3.0)
    assert is_integer(3)
    assert is_number(math.nan)


def test_what_is_in_range_comes_back():
    assert checked_integer("seed", 3, 0, 3) == 3
    assert checked_number("shift", 3, 0.01, 3.0) == 3.0
    assert isinstance(checked_number("shift", 3, 0.01, 3.0), float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -1, 101, True, "3", None])
def test_what_is_not_is_refused_by_field_value_and_range(value):
    with pytest.raises(InvalidInput, match=r"^guidance is .{1,40}; it must be a number in 0\.\.100\.$") as caught:
        checked_number("guidance", value, 0.0, 100.0)
    assert caught.value.field == "guidance"
    with pytest.raises(InvalidInput, match=r"^seed is .{1,40}; it must be an integer in 0\.\.9\.$"):
        checked_integer("seed", value, 0, 9)


def test_a_value_is_written_as_it_is_asked_to_be():
    with pytest.raises(InvalidInput, match="height is '128'; it must be"):
        checked_integer("height", "128", 1, 4096, repr)


def test_flags_and_words_are_taken_as_they_are_and_all_else_is_named_with_what_is_legal():
    assert checked_flag("heun", True) is True
    assert checked_choice("cache", "off", ("off", "cpu")) == "off"
    for wrong in (1, "true", None):
        with pytest.raises(InvalidInput, match=r"heun is .*; it must be true or false"):
            checked_flag("heun", wrong)
    for wrong in ("gpu", None, ["off"]):
        with pytest.raises(InvalidInput, match=r"cache is .*; it must be off, cpu or device"):
            checked_choice("cache", wrong, ("off", "cpu", "device"))
