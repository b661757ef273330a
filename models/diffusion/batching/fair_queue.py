"""Choose the calls of the next batch fairly, without threads, clocks or tensors.

There are two levels. Groups (by model, size, precision and adapter) are served by start-time fair
queueing (Goyal et al. 1996): the group with the least computing time goes first, and a new or idle
group starts at the level of the last one served, so that idleness earns no credit. Within a group
the higher priority goes first, then the request with the fewest steps left; a call that was skipped
``MAX_SKIPPED`` times goes before all that were not.

A step of any request therefore waits for at most ``MAX_SKIPPED`` batches of others of its group,
plus those of earlier calls that were skipped as often.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from models.diffusion.batching.call import Call

MAX_SKIPPED = 4

Group = Hashable


class FairQueue:
    """Tracks each group's computing time; ``next_batch`` chooses calls, ``charge`` adds time."""

    def __init__(self) -> None:
        self._served_seconds: dict[Group, float] = {}
        self._virtual_time = 0.0

    def next_batch(
        self, waiting: Sequence[Call], max_rows: Callable[[Call, int], int]
    ) -> list[Call]:
        """Choose the next batch: at least one call, all of one group.

        It has at most ``max_rows(call, rows)`` rows, by its first call and the rows of its group.
        """
        groups: dict[Group, list[Call]] = {}
        for call in waiting:
            groups.setdefault(call.group, []).append(call)
        group = min(groups, key=lambda key: (self._start(key), groups[key][0].sequence))
        self._virtual_time = self._start(group)
        # Groups at or below the virtual time start there anyway.
        self._served_seconds = {
            key: s for key, s in self._served_seconds.items() if s > self._virtual_time
        }
        calls = sorted(groups[group], key=_rank)
        room, chosen = max_rows(calls[0], sum(call.rows for call in calls)), list[Call]()
        for call in calls:
            if chosen and call.rows > room:
                break
            chosen.append(call)
            room -= call.rows
        for call in calls[len(chosen) :]:
            call.skipped += 1
        return chosen

    def charge(self, group: Group, seconds: float) -> None:
        """Add the computing time of a batch to ``group``."""
        self._served_seconds[group] = self._start(group) + seconds

    def _start(self, group: Group) -> float:
        return max(self._served_seconds.get(group, self._virtual_time), self._virtual_time)


def _rank(call: Call) -> tuple[int, int, int, int]:
    if call.skipped >= MAX_SKIPPED:
        return (0, 0, 0, call.sequence)
    return (1, -call.priority, call.steps_left, call.sequence)
