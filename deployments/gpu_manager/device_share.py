"""What operations take of a device that they share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# The weight of the newest operation in the average of its capability.
NEWEST = 0.2


@dataclass(frozen=True)
class Work:
    """So many operations, which will take so many seconds of the device, if they are average."""

    count: float
    seconds: float


@dataclass(eq=False)
class Share:
    """One operation at work; ``began`` is in seconds of :class:`DeviceShare`'s own clock."""

    capability: str | None
    began: float


class DeviceShare:
    """Measures how many seconds of the device an operation takes. For one thread.

    Operations that run at the same time take equal parts of it: with four of them at work, each
    takes a quarter of a second in every second. So what batches gain is in it. The clock behind it
    is the virtual time of processor sharing, which goes on by 1/n with n operations at work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now, self._virtual = clock(), 0.0
        self._shares: set[Share] = set()
        self._seconds: dict[str, float] = {}

    def begin(self, capability: str | None) -> Share:
        self._advance()
        share = Share(capability, self._virtual)
        self._shares.add(share)
        return share

    def end(self, share: Share, *, completed: bool) -> None:
        """``completed``: it was not broken off, so that it counts for the average."""
        self._advance()
        self._shares.discard(share)
        if completed and share.capability is not None:
            took = self._virtual - share.began
            before = self._seconds.get(share.capability, took)
            self._seconds[share.capability] = before + NEWEST * (took - before)

    @property
    def seconds(self) -> Mapping[str, float]:
        """What an operation of each capability took on average."""
        return self._seconds

    def at_work(self) -> dict[str, Work]:
        """The operations at work by their capability, those of an unknown one left out."""
        self._advance()
        found: dict[str, Work] = {}
        for share in self._shares:
            if share.capability is None:
                continue
            took = self._virtual - share.began
            left = max(0.0, self._seconds.get(share.capability, 0.0) - took)
            so_far = found.get(share.capability, Work(0, 0.0))
            found[share.capability] = Work(so_far.count + 1, so_far.seconds + left)
        return found

    def _advance(self) -> None:
        now = self._clock()
        if self._shares:
            self._virtual += (now - self._now) / len(self._shares)
        self._now = now
