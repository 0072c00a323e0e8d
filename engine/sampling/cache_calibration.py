"""A track's cache with all that it needs to run: the model's own coefficients, ratios recorded on the model."""

from __future__ import annotations

from dataclasses import replace

from engine.caches.apply import check_counting
from engine.caches.cache_choice import CacheChoice
from engine.caches.recording import mag_ratios, recorded
from engine.caches.which_model import resolved
from engine.measuring.step_event import OnStep
from engine.models.catalogue import ModelSpec
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.sampling.shared_start import RunMemo
from engine.schedules.schedule import flat


class Calibration:
    """Fills in what choices leave to the model; records a comparison's ratios once a number of steps, when needed."""

    def __init__(self, spec: ModelSpec, height: int, memo: RunMemo | None = None) -> None:
        self.spec, self.height, self.memo = spec, height, memo
        self._ratios: dict[int, tuple[float, ...]] = {}  # by the number of steps

    def complete(self, choice: CacheChoice, request: StagedRequest, on_step: OnStep | None = None) -> CacheChoice:
        """A choice, complete for a request. For MagCache an uncached run at full size is made; `on_step` may cancel it.

        `height` in pixels decides between the coefficients of models that were fitted at two sizes.
        """
        choice = resolved(choice, self.spec, self.height)
        if choice.name == "magcache" and choice.get("ratios") is None:
            steps = request.schedule.infer_steps
            if steps not in self._ratios:
                check_counting(request.pipe, choice)
                self._ratios[steps] = self._record(request, on_step)
            choice = choice.with_values(ratios=self._ratios[steps])
        return choice

    def _record(self, request: StagedRequest, on_step: OnStep | None) -> tuple[float, ...]:
        whole = replace(
            request, schedule=flat(request.schedule.infer_steps), sizes=request.sizes[-1:], decode=False, cache=None
        )
        with recorded(request.pipe) as recorder:
            run_staged(whole, on_step, memo=self.memo)
        return mag_ratios(recorder)
