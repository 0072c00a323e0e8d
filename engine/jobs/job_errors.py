"""The errors of jobs; like all of ours, their text is one sentence for a person.

ResoluteError
├─ InvalidInput
│  └─ OverLimit     what is asked for is more than the operator allows
├─ NotFound         no such job or file, or it may not be seen
├─ QueueFull        too many jobs wait already
├─ NotAllowed       it is not theirs, where strangers come
├─ NotNow           the job's state does not allow what was asked
├─ StorageError     the data directory or its database cannot be used (exit code 2 at start)
└─ Cancelled
   ├─ Skipped       one run of a comparison was skipped by its owner (in `engine.errors`)
   ├─ TimeUp        the job took longer than the operator allows
   └─ DeviceLost    the device can no longer be used by this process
"""

from __future__ import annotations

from engine.errors import Cancelled, InvalidInput, ResoluteError


class OverLimit(InvalidInput):
    """More than the operator allows; the sentence names the limit and what the comparison would cost."""


class NotFound(ResoluteError):
    """There is no such job or file."""


class QueueFull(ResoluteError):
    """Too many jobs wait already."""


class NotNow(ResoluteError):
    """A job's state does not allow what was asked."""


class NotAllowed(ResoluteError):
    """What was asked is another's to do."""


class StorageError(ResoluteError):
    """The data directory or its database cannot be used."""


class TimeUp(Cancelled):
    """A job took longer than the operator allows."""


class DeviceLost(Cancelled):
    """The device failed in a way that this process cannot recover from."""
