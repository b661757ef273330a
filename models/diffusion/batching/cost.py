"""Learn from the batches themselves how a kind of call is computed fastest on this machine.

A small UNet does not fill a CPU or a large GPU, so eight rows in one forward pass cost little more
than one. A transformer at 1024 pixels fills the GPU with one row, and a second row only delays
both. Layers that are fetched for every pass cost the same for any number of rows.

On a CPU several lanes can compute at once. Each has one thread: threads of one pass wait for one
another at every layer, which costs a small network more than they give, and much more beside
other busy processes. Two lanes with half the rows each are faster than one if the rows are many;
if they are few, both spend their time in Python, which runs one thread at a time. All cores work
together on one batch only where a pass is long and no other request could use them.

No pass is made for the sake of measuring: the batches of a kind are timed, and the next way of
computing them is tried when enough requests wait for it.
"""

from __future__ import annotations

import statistics
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import torch

MAX_ROWS = 64
# Doubling the rows or lanes must cut the time a row by this fraction, or it only adds waiting.
MIN_GAIN = 0.04
# A shorter pass of one thread gains nothing by more of them.
MIN_SHARED_MS = 50.0
# The first pass at a size prepares kernels and memory, so it says nothing.
_WARM_UPS, _SAMPLES = 1, 3
_REMEMBERED = 9  # passes of a layout
_MAX_TRIES = 24  # batches of a layout that never came about as asked for
_MAX_IDLE = 0.25  # of the lanes of a layout, on average of a batch that is timed
_MAX_KINDS = 64  # whose cost is remembered


@dataclass(frozen=True)
class BatchCost:
    """Milliseconds a row by batch size (a power of two), and the size with the best throughput.

    They are those of one lane with one thread. ``ways`` are those of other layouts, where the
    time of a row is that of the lanes together: ``{(lanes, threads): {size: ms}}``.
    """

    ms_per_row: dict[int, float]
    best_rows: int
    ways: dict[tuple[int, int], dict[int, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How calls of a kind are computed: by so many lanes at once, each ``rows`` in a batch."""

    lanes: int
    threads: int
    rows: int

    @property
    def way(self) -> tuple[int, int]:
        return (self.lanes, self.threads)


ONE_LANE = (1, 1)


@dataclass
class _Passes:
    """Times of passes of one layout, in milliseconds a row."""

    count: int = 0
    last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    ms_per_row: float | None = None  # once there were enough

    def add(self, ms_per_row: float) -> None:
        self.count += 1
        if self.count > _WARM_UPS:
            self.last.append(ms_per_row)
        if self.count >= _WARM_UPS + _SAMPLES:
            self.ms_per_row = statistics.median(self.last)


@dataclass
class _Kind:
    passes: dict[tuple[int, int], dict[int, _Passes]] = field(default_factory=dict)
    tries: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    most: int = MAX_ROWS  # that fitted

    def ms_per_row(self, way: tuple[int, int]) -> dict[int, float]:
        """Milliseconds a row of the sizes that were timed often enough, smallest first."""
        return {
            size: passes.ms_per_row
            for size, passes in sorted(self.passes.get(way, {}).items())
            if passes.ms_per_row is not None
        }

    def cost(self, layout: Layout) -> float | None:
        """Milliseconds a row of ``layout``, if it was timed often enough."""
        passes = self.passes.get(layout.way, {}).get(_size(layout.rows))
        return None if passes is None else passes.ms_per_row

    def may_try(self, layout: Layout) -> bool:
        """Whether to try ``layout``; not for ever, as it may never come about as asked for."""
        return self.tries[*layout.way, _size(layout.rows)] < _MAX_TRIES


class BatchCosts:
    """What is known of the cost of rows, by kind of call (:attr:`Call.cost_key`).

    ``lanes`` and ``cores`` are those that the engine may use at once.
    """

    def __init__(self, max_rows: int = MAX_ROWS, lanes: int = 1, cores: int = 1) -> None:
        self._max_rows, self._lanes, self._cores = max_rows, lanes, cores
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def layout(self, key: Hashable, rows: int, asked: int) -> Layout:
        """Return how to compute calls of ``rows`` each, of which ``asked`` rows are there.

        A way that was not timed yet is tried if the ways before it are known.
        """
        best = Layout(*ONE_LANE, min(self.room(key, rows, asked), _whole_calls(asked, rows)))
        kind = self._kinds.get(key, _Kind())
        least = kind.cost(best)
        if least is None:
            return best
        for layout in self._others(rows, asked, best.rows, least):
            cost = kind.cost(layout)
            if cost is None:
                if kind.may_try(layout):
                    return layout
            elif cost <= (1 - MIN_GAIN) * least:
                best, least = layout, cost
        return best

    def room(self, key: Hashable, rows: int, waiting: int) -> int:
        """Return the most rows of the next batch of one lane, at least ``rows``: those of one call.

        ``waiting`` rows could be computed now. A size that was not timed yet is tried only if they
        fill it, and once twice the best size and four times do not pay, no more are.
        """
        kind = self._kinds.get(key, _Kind())
        costs, most = kind.ms_per_row(ONE_LANE), self.most(key)
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
        """Whether a batch of ``rows`` must be timed, even if that keeps the device waiting."""
        passes = self._kinds.get(key, _Kind()).passes.get(ONE_LANE, {}).get(_size(rows))
        return passes is None or passes.ms_per_row is None

    def record(
        self, key: Hashable, layout: Layout, rows: int, seconds: float, lanes: float = 1.0
    ) -> None:
        """Learn that a batch of ``rows`` took so long, computed as ``layout`` says.

        ``lanes`` is how many were at work meanwhile, on average. If they were fewer than in
        ``layout``, the time says nothing about it.
        """
        kind = self._kind(key)
        kind.tries[*layout.way, _size(rows)] += 1
        if lanes >= layout.lanes - _MAX_IDLE:
            passes = kind.passes.setdefault(layout.way, {}).setdefault(_size(rows), _Passes())
            passes.add(1000 * seconds / rows / layout.lanes)

    def limit(self, key: Hashable, rows: int) -> None:
        """Have no batch of more than ``rows`` from now on: one ran out of memory."""
        kind = self._kind(key)
        kind.most = min(kind.most, rows)

    def forget(self, key: Hashable) -> None:
        """Forget the times of calls of ``key``, but not how many rows fitted."""
        if (kind := self._kinds.get(key)) is not None:
            self._kinds[key] = _Kind(most=kind.most)

    def known(self) -> list[BatchCost]:
        """Return what each kind of call costs, oldest first."""
        found = []
        for kind in self._kinds.values():
            if costs := kind.ms_per_row(ONE_LANE):
                others = {way: kind.ms_per_row(way) for way in kind.passes if way != ONE_LANE}
                found.append(BatchCost(costs, _best(costs), {w: c for w, c in others.items() if c}))
        return found

    def _others(self, rows: int, asked: int, most: int, ms_per_row: float) -> Iterator[Layout]:
        """Yield what may be faster than one lane with one thread, the fewest lanes first."""
        calls = -(-asked // rows)
        lanes = 1
        while lanes <= min(self._lanes, calls):
            each = min(most, _whole_calls(-(-asked // lanes), rows))
            if lanes > 1:
                yield Layout(lanes, 1, each)
            threads = self._cores // lanes
            if calls < self._cores and threads > 1 and ms_per_row * each >= MIN_SHARED_MS:
                yield Layout(lanes, threads, each)
            lanes *= 2

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
