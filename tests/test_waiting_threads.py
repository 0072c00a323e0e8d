"""How threads wait is set before torch is there, and never over the head of a person."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.waiting_threads import BLOCKTIME, POLICY, SPIN_COUNT, SPINS, let_threads_sleep


@pytest.mark.parametrize("name", [POLICY, SPINS, BLOCKTIME])
def test_what_a_person_has_set_stays(name):
    environ = {name: "7"}
    let_threads_sleep(environ)
    assert environ == {name: "7"}


def test_the_command_line_sets_it_before_torch_is_loaded():
    code = (
        "import sys, os, runpy\n"
        "sys.argv = ['engine', '--help']\n"
        "try: runpy.run_module('engine', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    plain = {name: value for name, value in os.environ.items() if name not in (POLICY, SPINS, BLOCKTIME)}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{SPIN_COUNT} False"
