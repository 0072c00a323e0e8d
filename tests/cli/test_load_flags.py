"""The loading flags of the command line: what is typed becomes one checked LoadOptions."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from engine.cli.load_flags import with_load_flags
from engine.errors import InvalidInput
from engine.models.load_options import LoadOptions

FLAGS = [
    *("--device", "cpu", "--dtype", "bf16", "--offload", "none", "--vae-tiling", "--vae-slicing"),
    *("--lora-scale", "0.5", "--attention", "native", "--compile"),
]


@pytest.fixture
def asked():
    """Runs a command with words; gives what it was called with."""
    app, seen = typer.Typer(), []

    @app.command()
    @with_load_flags
    def go(
        file: Annotated[str, typer.Argument()],
        options: LoadOptions = LoadOptions(),  # noqa: B008
        last: Annotated[bool, typer.Option("--last")] = False,
    ) -> None:
        seen.append((file, options, last))

    def run(*words: str):
        result = CliRunner().invoke(app, words)
        if result.exception:
            raise result.exception
        return seen[-1]

    return run


def test_every_flag_reaches_its_option(asked):
    file, options, last = asked("here", *FLAGS, "--last")
    assert (file, last) == ("here", True)
    assert options == LoadOptions.parse(
        device="cpu", dtype="bf16", tiling=True, slicing=True, lora_scale=0.5, attention="native", compile=True
    )


def test_without_flags_the_options_are_the_machines_own(asked):
    assert asked("here") == ("here", LoadOptions(), False)


def test_a_wrong_value_is_refused_by_its_name(asked):
    with pytest.raises(InvalidInput, match="offload"):
        asked("here", "--offload", "moon")
