"""Count the rows of each kind of call that are asked for now, computed or not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable

from models.diffusion.batching.call import Call

Kind = Hashable  # :attr:`Call.cost_key`


class Demand:
    """What the engine is asked for. Its lock guards every method.

    A request's rows wait, are computed, and are in transit: their pipeline computes what lies
    between two steps and will soon ask for the next.
    """

    def __init__(self) -> None:
        self.waiting: list[Call] = []
        self.transit: dict[object, tuple[Kind, int]] = {}  # by session, without its calls' tensors
        self._computed: Counter[Kind] = Counter()
        self._lanes: Counter[Kind] = Counter()
        self._lane_seconds, self._since = 0.0, time.perf_counter()

    def rows(self, kind: Kind) -> int:
        """All rows of ``kind``: waiting, computed or in transit."""
        moving = sum(rows for each, rows in self.transit.values() if each == kind)
        return self.waiting_rows(kind) + self._computed[kind] + moving

    def waiting_rows(self, kind: Kind) -> int:
        return sum(call.rows for call in self.waiting if call.cost_key == kind)

    def lanes(self, kind: Kind) -> int:
        """How many lanes compute calls of ``kind`` now."""
        return self._lanes[kind]

    def lane_seconds(self) -> float:
        """The seconds that lanes have computed, all together."""
        now = time.perf_counter()
        self._lane_seconds += self._lanes.total() * (now - self._since)
        self._since = now
        return self._lane_seconds

    def take(self, calls: list[Call]) -> None:
        """A lane starts to compute ``calls``, all of one kind."""
        self.lane_seconds()
        taken = set(map(id, calls))
        self.waiting = [call for call in self.waiting if id(call) not in taken]
        kind = calls[0].cost_key
        self._computed[kind] += sum(call.rows for call in calls)
        self._lanes[kind] += 1

    def end(self, calls: list[Call]) -> None:
        """The lane has computed ``calls``; requests that go on are in transit."""
        self.lane_seconds()
        kind = calls[0].cost_key
        for call in calls:
            if call.expects_next_call and call.error is None:
                self.transit[call.session] = (kind, call.rows)
        self._computed[kind] -= sum(call.rows for call in calls)
        self._lanes[kind] -= 1
        if not self._lanes[kind]:
            del self._lanes[kind], self._computed[kind]

    def drop(self, session: object) -> list[Call]:
        """Remove and return the waiting calls of ``session``."""
        dropped = [call for call in self.waiting if call.session is session]
        self.waiting = [call for call in self.waiting if call.session is not session]
        return dropped
