"""How many of a run's model evaluations were really computed: counted where they happen, by stage. No torch.

An evaluation is one forward pass of a transformer; with guidance a step has two. It is *computed* where every part that
a cache could replace was computed, and *skipped* where something cached stood in for at least one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class StageCount:
    """One stage's evaluations. `parts` counts how often each part that a cache can replace was computed."""

    computed: int = 0
    skipped: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    watched: tuple[str, ...] = ()  # the parts' names; none without a cache
    networks: list[str] = field(default_factory=list)  # the component that each pass was asked of, in order

    @property
    def passes(self) -> int:
        return self.computed + self.skipped

    def left_out(self) -> dict[str, int]:
        """How often each part was not computed."""
        return {name: self.passes - self.parts[name] for name in self.watched}


@dataclass
class Evaluations:
    """A run's evaluations by stage."""

    stages: list[StageCount]

    @property
    def computed(self) -> int:
        return sum(stage.computed for stage in self.stages)

    @property
    def skipped(self) -> int:
        return sum(stage.skipped for stage in self.stages)


class PassCounter:
    """Follows the passes of one transformer through one stage, and adds them to the stage's count.

    `network` is the transformer's name as a component. A pass that ends by an error is not counted.
    """

    def __init__(self, count: StageCount, network: str = "transformer") -> None:
        self.count, self.network = count, network
        self.parts: list[str] = []
        self.known: dict[Callable[[], float], float] = {}

    def begin(self) -> None:
        self.parts, self.known = [], {}

    def computed(self, part: str) -> None:
        self.parts.append(part)

    def once(self, read: Callable[[], float]) -> float:
        """A number that holds for the whole pass: read once, as reading may wait for the device."""
        if read not in self.known:
            self.known[read] = read()
        return self.known[read]

    def end(self) -> None:
        if set(self.parts) >= set(self.count.watched):
            self.count.computed += 1
        else:
            self.count.skipped += 1
        self.count.parts.update(self.parts)
        self.count.networks.append(self.network)
        self.parts, self.known = [], {}
