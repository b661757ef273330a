"""Choose the calls of the next batch fairly, without threads, clocks or tensors.

There are three levels.

1. **Flows** (users) are served by start-time fair queueing (Goyal et al. 1996): the flow with the
   least computing time leads the next batch. Flows that are less than ``QUANTUM_S`` ahead of the
   last one count as equal, and among those the request with the fewest steps left leads, so a short
   request goes before a long one.
2. **Groups** (by model, size, precision and adapter) of the leading flow are served in the same
   way: the one with the least computing time is computed. The rest of the batch is filled from that
   group, in turns: every flow's first call, then every flow's second.
3. **Calls** of a flow are ordered by priority, then by the fewest steps left; a call that went
   without a row ``MAX_SKIPPED`` times, while others of its flow and group had one, goes first.

A new or idle flow or group starts at the level of those served last, so idleness earns no credit
and newcomers do not overtake those who wait.

Bounds. While a flow waits for its next row, every other flow leads batches with at most
``QUANTUM_S`` seconds of its own computing, those that the waiting flow was ahead of it, and one
batch more (and one for every further lane). A call waits for at most ``MAX_SKIPPED`` batches in
which its flow has a row of its group, and those of earlier calls that were skipped as often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from models.diffusion.batching.call import Call

MAX_SKIPPED = 4
# By how many seconds of computing a flow may be ahead of another with shorter requests.
QUANTUM_S = 0.25


class FairQueue:
    """Tracks who was computed for how long; ``next_batch`` chooses calls, ``charge`` adds time."""

    def __init__(self) -> None:
        self._flows, self._groups = _ServedTime(), _ServedTime()

    def next_batch(
        self, waiting: Sequence[Call], max_rows: Callable[[Call, int], int]
    ) -> list[Call]:
        """Choose the next batch: at least one call, all of one group.

        It has at most ``max_rows(call, rows)`` rows, by its first call and the rows of its group.
        """
        self._flows.advance({call.flow for call in waiting})
        self._groups.advance({call.group for call in waiting})
        leading = min(waiting, key=self._turn).flow
        first = min(
            (call for call in waiting if call.flow == leading),
            key=lambda call: (self._groups.start(call.group), call.sequence),
        )
        calls = self._in_turns([call for call in waiting if call.group == first.group], leading)
        room, chosen = max_rows(calls[0], sum(call.rows for call in calls)), list[Call]()
        for call in calls:
            if chosen and call.rows > room:
                break
            chosen.append(call)
            room -= call.rows
        served = {call.flow for call in chosen}
        for call in calls[len(chosen) :]:
            call.skipped += call.flow in served
        return chosen

    def charge(self, calls: Sequence[Call], seconds: float) -> None:
        """Add the computing time of a batch to its group, and to its flows by their rows."""
        self._groups.charge(calls[0].group, seconds)
        rows = Counter[str]()
        for call in calls:
            rows[call.flow] += call.rows
        for flow, count in rows.items():
            self._flows.charge(flow, seconds * count / rows.total())

    def _in_turns(self, calls: list[Call], leading: str) -> list[Call]:
        """Order ``calls`` of one group: every flow's first, beginning with the leading flow's."""
        place: dict[int, int] = {}
        count = Counter[str]()
        for call in sorted(calls, key=_rank):
            place[call.sequence] = count[call.flow]
            count[call.flow] += 1
        return sorted(
            calls,
            key=lambda call: (place[call.sequence], call.flow != leading, *self._turn(call)),
        )

    def _turn(self, call: Call) -> tuple[int, int, int]:
        return (int(self._flows.lead(call.flow) / QUANTUM_S), call.steps_left, call.sequence)


class _ServedTime:
    """The computing time of each key, as tags of start-time fair queueing, in seconds.

    A key that begins to wait gets the virtual time, or keeps its own tag if that is higher. The
    virtual time is the highest tag of those that were served (self-clocked: Golestani 1994), so
    nobody who waits is overtaken by an endless row of newcomers.
    """

    def __init__(self) -> None:
        self._served: dict[Hashable, float] = {}
        self._waiting: set[Hashable] = set()
        self._now = 0.0  # the virtual time
        self._least = 0.0  # of those who wait

    def start(self, key: Hashable) -> float:
        tag = self._served.get(key, self._now)
        return tag if key in self._waiting else max(tag, self._now)

    def lead(self, key: Hashable) -> float:
        """Return by how much ``key`` is ahead of the one that has the least and waits."""
        return self.start(key) - self._least

    def advance(self, waiting: Iterable[Hashable]) -> None:
        """Set who waits; who did not before arrives now."""
        there = set(waiting)
        for key in there - self._waiting:
            self._served[key] = self.start(key)
        self._waiting = there
        self._least = min(self._served[key] for key in there)
        # Those at or below the virtual time start there anyway.
        self._served = {k: s for k, s in self._served.items() if s > self._now or k in there}

    def charge(self, key: Hashable, seconds: float) -> None:
        """Add to the tag of ``key``; the virtual time follows, so that newcomers start behind."""
        self._served[key] = self.start(key) + seconds
        self._now = max(self._now, self._served[key])


def _rank(call: Call) -> tuple[int, int, int, int]:
    if call.skipped >= MAX_SKIPPED:
        return (0, 0, 0, call.sequence)
    return (1, -call.priority, call.steps_left, call.sequence)
