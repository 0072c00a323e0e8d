"""A stand-in for a GPU that lags behind: what it was asked for is done when a few more things were asked for."""

from __future__ import annotations

from typing import Any

import torch

from engine.measuring.late_flags import LateFlags


class LateDevice:
    """Its events complete `lag` events later, or when they are waited for; `waits` counts how often that was."""

    def __init__(self, monkeypatch: Any, lag: int) -> None:
        self.lag, self.asked, self.reached, self.waits = lag, 0, 0, 0
        device = self

        class Event:
            def record(self, stream: object) -> None:
                device.asked += 1
                self.at = device.asked

            def query(self) -> bool:
                return max(device.reached, device.asked - device.lag) >= self.at

            def synchronize(self) -> None:
                device.waits += 1
                device.reached = max(device.reached, self.at)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)

    def flags(self, _: torch.device) -> LateFlags:
        """Flags of this device, whatever one runs on."""
        return LateFlags(torch.device("cuda"))
