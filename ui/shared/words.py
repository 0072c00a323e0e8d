"""Texts that several views say alike."""

from __future__ import annotations

from engine.models.catalogue import catalogue


def model_title(model: str) -> str:
    """A model's title; its id where this server has no such model."""
    return catalogue()[model].title if model in catalogue() else model


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters, with a mark where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"
