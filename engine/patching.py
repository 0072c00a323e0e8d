"""Attributes of an object replaced while a block runs, and put back exactly as they were. Imports nothing of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def patched(target: Any, **attributes: Any) -> Iterator[None]:
    """Set instance attributes while the block runs, and put back exactly what was there."""
    missing = object()
    before = {name: target.__dict__.get(name, missing) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(target, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                with contextlib.suppress(AttributeError):
                    delattr(target, name)
            else:
                setattr(target, name, value)
