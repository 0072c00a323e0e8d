"""Another seed of the same prompt: how far from the baseline a run is that is another picture altogether.

The noise floor says what no difference can be below; where runs are equal to the bit it says nothing. This says what
a difference must be well below to mean "the same picture". It costs one more run of the baseline.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.runner import Runner
from engine.errors import Cancelled, ResoluteError, Skipped
from engine.experiments.settings import MAX_SEED
from engine.measuring.similarity import similarity
from engine.reports.closeness import Similarity
from engine.reports.schema import Report

CHEAP_S = 60.0  # a denoising loop of at most so long is run once more where nobody said whether to


class OtherSeed:
    """The similarity of the next seed's full-size run to the baseline, or the reason why there is none."""

    def __init__(self, asked: bool | None, earlier: Report | None, kept: Similarity | None) -> None:
        """`asked` None: where it is cheap. `earlier` is an unfinished report, `kept` came with a stored baseline."""
        known = earlier.other_seed if earlier else None
        self.similarity = known or kept
        told = "it was not asked for" if asked is False else "the baseline did not finish"
        self.reason = None if self.similarity else f"another seed was not run: {told}"
        self._asked = asked

    def run(self, runner: Runner[Any], baseline: np.ndarray | None, seconds: float | None) -> bool:
        """Run it beside the baseline's frames, (T, H, W, 3), whose loop took `seconds`; whether it was cancelled."""
        if self.similarity is not None or self._asked is False:
            return False
        if baseline is None or seconds is None:
            return False
        if self._asked is None and seconds > CHEAP_S:
            self.reason = f"another seed was not run: it takes about {seconds:.0f} s, and is run where it is asked for"
            return False
        experiment = runner.experiment
        try:
            runner.listener.phase(experiment.baseline.name, "running another seed")
            frames = runner.with_seed(next_seed(experiment.seed)).run(experiment.baseline).frames
            self.similarity, self.reason = Similarity(**similarity(frames, baseline, experiment.fps)), None
        except Skipped:
            self.reason = "another seed was skipped"
        except Cancelled:
            self.reason = "the comparison was cancelled"
            return True
        except ResoluteError as error:
            self.reason = f"the run of another seed failed: {error}"
        return False


def next_seed(seed: int) -> int:
    """The seed that stands for any other."""
    return seed + 1 if seed < MAX_SEED else 0
