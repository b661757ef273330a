"""Which manager runs an operation: the one where it will be done first. No Ray in here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.gpu_manager.device_share import Work

# How often managers tell what they have. Until then who chooses counts what it sent by itself.
REPORT_INTERVAL_S = 2.0
_UNTOLD_S = 1.5 * REPORT_INTERVAL_S
# Of a model that no manager has loaded yet, and of an operation that none has run.
UNKNOWN_LOAD_S = 10.0
UNKNOWN_OPERATION_S = 1.0


@dataclass(frozen=True)
class ManagerLoad:
    """What a manager told last: the capabilities whose models it has, and seconds of its device.

    There is room for the models of those in ``fitting`` beside them. ``load_seconds`` is what
    loading a model took, ``operation_seconds`` what an operation of a capability takes on average;
    ``work`` is what is at work.
    """

    loaded: frozenset[str] = frozenset()
    fitting: frozenset[str] = frozenset()
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    operation_seconds: Mapping[str, float] = field(default_factory=dict)
    work: Mapping[str, Work] = field(default_factory=dict)

    def to_message(self) -> dict[str, Any]:
        """For Serve, which tells everybody whenever a value changes.

        So numbers are rounded to powers of two.
        """
        return {
            "loaded": sorted(map(str, self.loaded)),
            "fitting": sorted(map(str, self.fitting)),
            "load_seconds": _rounded(self.load_seconds),
            "operation_seconds": _rounded(self.operation_seconds),
            "counts": _rounded({key: work.count for key, work in self.work.items()}),
            "seconds": _rounded({key: work.seconds for key, work in self.work.items()}),
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> ManagerLoad:
        """Of a manager that has told nothing yet ``message`` is empty."""
        if not message:
            return cls()
        return cls(
            frozenset(message["loaded"]),
            frozenset(message["fitting"]),
            message["load_seconds"],
            message["operation_seconds"],
            {key: Work(n, message["seconds"][key]) for key, n in message["counts"].items()},
        )


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    """The next power of two above each, 0 below a thousandth."""
    return {
        str(key): 0.0 if value < 0.001 else float(2 ** math.ceil(math.log2(value)))
        for key, value in values.items()
    }


@dataclass(frozen=True)
class _Sent:
    manager: str
    capability: str
    at: float


class ManagerChoice:
    """Chooses for one process that sends operations to managers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent: dict[str, _Sent] = {}  # by the operation's id

    def rank(
        self, operation: str, capability: str | None, loads: Mapping[str, ManagerLoad]
    ) -> list[str]:
        """Return the managers, the best first, and count the operation as sent to that one.

        The best is where the operation costs the least: by waiting for what is at work there, and
        by its model, if that has to be loaded. ``operation`` is an id.
        """
        now = self._clock()
        # Older ones are in the managers' reports. Of a call that is canceled before it is sent
        # nobody hears the end; and one that no manager took is asked for again.
        self._sent = {
            name: sent
            for name, sent in self._sent.items()
            if now - sent.at < _UNTOLD_S and name != operation
        }
        untold: dict[str, list[str]] = {manager: [] for manager in loads}
        for each in self._sent.values():
            if each.manager in untold:
                untold[each.manager].append(each.capability)
        delays = {manager: _delay(capability, manager, loads, untold[manager]) for manager in loads}
        ranked = sorted(delays, key=delays.__getitem__)
        if capability is not None and ranked:
            self._sent[operation] = _Sent(ranked[0], capability, now)
        return ranked

    def ended(self, operation: str) -> None:
        """The operation has ended, or was not taken."""
        self._sent.pop(operation, None)


def _delay(
    capability: str | None, manager: str, loads: Mapping[str, ManagerLoad], untold: list[str]
) -> float:
    """The seconds that an operation costs at ``manager`` beyond its own, for all that are there.

    ``untold`` were sent there a moment ago. The device is shared evenly. So until an operation of
    ``own`` seconds is done, each other one takes as much of the device as it does, or less if less
    is left of it. Loading a model holds up everybody; and a model whose place it takes will have to
    be loaded again.
    """
    load = loads[manager]
    own = math.inf
    if capability is not None:
        own = _known("operation_seconds", capability, manager, loads, UNKNOWN_OPERATION_S)
    delay = sum(min(work.seconds, work.count * own) for work in load.work.values())
    for each in untold:
        delay += min(own, _known("operation_seconds", each, manager, loads, UNKNOWN_OPERATION_S))
    if capability is None or capability in load.loaded or capability in untold:
        return delay
    loading = _known("load_seconds", capability, manager, loads, UNKNOWN_LOAD_S)
    held_up = 1 + len(untold) + sum(work.count for work in load.work.values())
    return delay + loading * (held_up + (capability not in load.fitting))


def _known(
    what: str, capability: str, manager: str, loads: Mapping[str, ManagerLoad], otherwise: float
) -> float:
    """What ``manager`` has measured, or else another one that has."""
    for load in (loads[manager], *loads.values()):
        seconds: Mapping[str, float] = getattr(load, what)
        if capability in seconds:
            return seconds[capability]
    return otherwise
