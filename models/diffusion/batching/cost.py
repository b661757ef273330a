"""Learn from the batches themselves how many rows in one forward pass pay on this machine.

A small UNet does not fill a CPU or a large GPU, so eight rows cost little more than one. A
transformer at 1024 pixels fills the GPU with one row, and a second row only delays both. Layers
that are fetched for every pass cost the same for any number of rows.

No pass is made for the sake of measuring: the first batches of a kind are timed, and the next size
is tried when enough requests wait for it.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

import torch

MAX_ROWS = 64
# Doubling the rows must cut the time a row by this fraction, or it only adds waiting.
MIN_GAIN = 0.04
# The first pass at a size prepares kernels and memory, so it says nothing.
_WARM_UPS, _SAMPLES = 1, 3
_MAX_KINDS = 64  # whose cost is remembered


@dataclass(frozen=True)
class BatchCost:
    """Milliseconds a row by batch size (a power of two), and the size with the best throughput."""

    ms_per_row: dict[int, float]
    best_rows: int


@dataclass
class _Kind:
    times: dict[int, list[float]] = field(default_factory=dict)  # ms a row of each pass, by size
    most: int = MAX_ROWS  # that fitted

    def ms_per_row(self) -> dict[int, float]:
        """Milliseconds a row of the sizes that were timed often enough, smallest first."""
        return {
            size: statistics.median(times[_WARM_UPS:])
            for size, times in sorted(self.times.items())
            if len(times) >= _WARM_UPS + _SAMPLES
        }


class BatchCosts:
    """What is known of the cost of rows, by kind of call (:attr:`Call.cost_key`)."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def room(self, key: Hashable, rows: int, waiting: int) -> int:
        """Return the most rows of the next batch, at least ``rows``: those of one call.

        ``waiting`` rows could be computed now. A size that was not timed yet is tried only if they
        fill it, and once twice the best size and four times do not pay, no more are.
        """
        costs, most = self._kinds.get(key, _Kind()).ms_per_row(), self.most(key)
        if not costs:
            return rows
        best, largest = _best(costs), max(costs)
        trying = _whole_calls(2 * largest, rows)
        if largest < 4 * best and trying <= min(waiting, most):
            return trying
        return max(rows, min(_whole_calls(best, rows), most))

    def most(self, key: Hashable) -> int:
        """Return the rows that a batch may have at most, pay or not."""
        return min(self._max_rows, self._kinds.get(key, _Kind()).most)

    def wants(self, key: Hashable, rows: int) -> bool:
        """Whether a batch of ``rows`` shall be timed."""
        times = self._kinds.get(key, _Kind()).times.get(_size(rows), [])
        return len(times) < _WARM_UPS + _SAMPLES

    def record(self, key: Hashable, rows: int, seconds: float) -> None:
        """Learn that a batch of ``rows`` took so long."""
        kind = self._kind(key)
        kind.times.setdefault(_size(rows), []).append(1000 * seconds / rows)

    def limit(self, key: Hashable, rows: int) -> None:
        """Have no batch of more than ``rows`` from now on: one ran out of memory."""
        kind = self._kind(key)
        kind.most = min(kind.most, rows)

    def known(self) -> list[BatchCost]:
        """Return what each kind of call costs, oldest first."""
        found = [kind.ms_per_row() for kind in self._kinds.values()]
        return [BatchCost(costs, _best(costs)) for costs in found if costs]

    def _kind(self, key: Hashable) -> _Kind:
        kind = self._kinds.setdefault(key, _Kind())
        while len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        return kind


def _best(costs: dict[int, float]) -> int:
    """Return the largest size that cuts the time a row of the one before that did."""
    best, *larger = costs
    for size in larger:
        if costs[size] <= (1 - MIN_GAIN) * costs[best]:
            best = size
    return best


def _whole_calls(size: int, rows: int) -> int:
    """Round ``size`` up to a multiple of ``rows``, those of one call."""
    return -(-size // rows) * rows


def _size(rows: int) -> int:
    """Return the largest power of two that is not above ``rows``."""
    return 1 << (rows.bit_length() - 1)


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has computed what it was given; a CPU has, always."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
