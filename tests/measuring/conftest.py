"""What tests of similarity compare."""

from __future__ import annotations

import numpy as np
import pytest

from tests.measuring.frames import moving


@pytest.fixture(scope="module")
def base() -> np.ndarray:
    return moving()
