"""The CUDA allocator's setting: given to the worker and the command line, never over a person's own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.cuda_allocator import OLDER, SETTING, let_segments_grow
from engine.jobs.supervisor import ROOT


def test_blocks_may_grow_unless_a_person_has_set_something():
    environ: dict[str, str] = {}
    let_segments_grow(environ)
    assert environ == {SETTING: "expandable_segments:True"}


@pytest.mark.parametrize("name", [SETTING, OLDER])
def test_what_a_person_has_set_stays(name):
    environ = {name: "max_split_size_mb:64"}
    let_segments_grow(environ)
    assert environ == {name: "max_split_size_mb:64"}


def test_the_command_line_sets_it_before_torch_is_there():
    code = (
        "import os, runpy, sys\n"
        "sys.argv = ['engine', '--help']\n"
        "try:\n    runpy.run_module('engine', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print(os.environ['{SETTING}'], 'torch' in sys.modules)"
    )
    clean = {key: value for key, value in os.environ.items() if key not in (SETTING, OLDER)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "expandable_segments:True False"
