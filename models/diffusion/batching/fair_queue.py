"""Whose calls are computed next. Pure: it knows no thread, no clock and no tensor.

Two levels. Between groups (other model, size, precision or adapter) start-time fair queueing (Goyal
et al. 1996): the group that has had the least computing time goes first, and one that comes anew or
was idle starts at the level of the last one served, so that idleness earns no credit. Within a
group the higher priority goes first, then the request with the fewest steps left, but a call that
was passed over ``MAX_SKIPPED`` times goes before all that were not.

The bound: a step of any request waits for at most ``MAX_SKIPPED`` batches of others of its group,
plus those of the calls that were passed over as often and came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from models.diffusion.batching.call import Call

MAX_SKIPPED = 4

Group = Hashable


class FairQueue:
    """Keeps what each group has been served; ``next_batch`` picks, ``charge`` books."""

    def __init__(self) -> None:
        self._served_seconds: dict[Group, float] = {}
        self._virtual_time = 0.0

    def next_batch(self, waiting: Sequence[Call], max_rows: Callable[[Call], int]) -> list[Call]:
        """The calls of the next batch: of one group, at most ``max_rows`` rows, at least one."""
        groups: dict[Group, list[Call]] = {}
        for call in waiting:
            groups.setdefault(call.group, []).append(call)
        group = min(groups, key=lambda key: (self._start(key), groups[key][0].sequence))
        self._virtual_time = self._start(group)
        # Groups at or below the level start there anyway.
        self._served_seconds = {
            key: s for key, s in self._served_seconds.items() if s > self._virtual_time
        }
        calls = sorted(groups[group], key=_rank)
        room, chosen = max_rows(calls[0]), list[Call]()
        for call in calls:
            if chosen and call.rows > room:
                break
            chosen.append(call)
            room -= call.rows
        for call in calls[len(chosen) :]:
            call.skipped += 1
        return chosen

    def charge(self, group: Group, seconds: float) -> None:
        """Book the time a batch of ``group`` took."""
        self._served_seconds[group] = self._start(group) + seconds

    def _start(self, group: Group) -> float:
        return max(self._served_seconds.get(group, self._virtual_time), self._virtual_time)


def _rank(call: Call) -> tuple[int, int, int, int]:
    if call.skipped >= MAX_SKIPPED:
        return (0, 0, 0, call.sequence)
    return (1, -call.priority, call.steps_left, call.sequence)
