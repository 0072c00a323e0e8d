from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.tiny import tiny_wan

torch.set_num_threads(1)  # the networks of the tests are tiny: a second thread only waits


@pytest.fixture(scope="session")
def shared_tiny():
    """One tiny pipeline for tests that leave it as it was."""
    return tiny_wan()


@pytest.fixture
def tiny():
    return tiny_wan()
