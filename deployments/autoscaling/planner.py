"""Plan the replicas of the GPU managers and of the generators: arithmetic on loads and a clock.

A manager owns a GPU and does the work of all generators on it; a generator's replica holds no
weights, and is small. They get their places in this order:

1. *Managers*: as many as the work is worth, one a GPU. Without any, no generator gets a replica.
2. *Minimum*: the replicas that operators set as each generator's minimum.
3. *First replicas*: one for every generator with work, the most work first if the nodes are too
   few for all.
4. *More replicas*, one by one, to the generator whose queue would take longest to empty. They leave
   room for the first replica of every generator, so that none waits for another's jobs to end.
5. *Surplus* replicas stay for a while, so that a queue that comes and goes does not start and stop
   them.

The same loads tell how many GPUs the cluster should have (``needed_gpus``), for clusters that grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.autoscaling.packing import NodeResources, ReplicaResources, limit_gpus, pack
from deployments.gpu_manager.names import GPU_MANAGER

RETAINED = 1.25  # a replica moves only to a queue that is longer by this factor


@dataclass(frozen=True)
class Limits:
    """A deployment's limits: what a replica claims and its concurrent jobs, and the minimum and
    maximum number of replicas that operators allow."""

    replica: ReplicaResources
    concurrency: int = 1
    min_replicas: int = 0
    max_replicas: int = 1


@dataclass(frozen=True)
class Load:
    """A deployment's current load: its requested (``target``) and running replicas, and of a
    generator its queued and active jobs and the seconds that a job takes."""

    target: int
    running: int
    waiting: int = 0
    active: int = 0
    job_s: float = 0.0

    @property
    def jobs(self) -> int:
        return self.waiting + self.active

    @property
    def work_s(self) -> float:
        """Seconds of queued and active work."""
        return self.jobs * self.job_s


@dataclass(frozen=True)
class Rules:
    """The policy's settings, in seconds.

    ``drain_s``: a queue should be empty after it. ``idle_s``: what has no work goes to zero after
    it. ``settle_s``: surplus replicas stay for it. ``node_s``: what a new node takes until it
    works; more GPUs are worth it once the work that is there would take longer on fewer.
    """

    drain_s: float = 20.0
    idle_s: float = 60.0
    settle_s: float = 30.0
    node_s: float = 300.0


class Planner:
    """Remembers since when deployments have surplus replicas, and plans the replicas to request."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._surplus_since: dict[str, float] = {}

    def plan(
        self,
        now: float,
        nodes: Sequence[NodeResources],
        limits: Mapping[str, Limits],
        loads: Mapping[str, Load],
    ) -> dict[str, int]:
        """The replicas to request of each deployment; together they fit onto ``nodes``.

        ``limits`` and ``loads`` have the same generators and ``GPU_MANAGER``; ``now`` is of a
        monotonic clock.
        """
        generators = [name for name in limits if name != GPU_MANAGER]
        needs = {name: self._needed_replicas(limits[name], loads[name]) for name in generators}
        needs[GPU_MANAGER] = self._needed_managers(limits, loads, self._rules.drain_s)
        kept = {
            name: min(self._kept_replicas(now, name, loads[name], need), limits[name].max_replicas)
            for name, need in needs.items()
        }
        allocation = _Allocation(limits, nodes)
        allocation.allocate(GPU_MANAGER, max(needs[GPU_MANAGER], kept[GPU_MANAGER]))
        managers = allocation.replicas[GPU_MANAGER]
        if managers == 0:
            return allocation.replicas
        # Generators need no card on which nobody draws, and a manager may still come to it.
        allocation.nodes = limit_gpus(nodes, managers)
        for name in generators:
            allocation.allocate(name, limits[name].min_replicas)
        # The last job of a replica that is on its way out starts no other.
        working = [
            name
            for name in generators
            if loads[name].waiting or (loads[name].active and loads[name].target)
        ]
        for name in sorted(working, key=lambda name: -_pressure(loads[name], limits[name], 0)):
            allocation.allocate(name, 1)
        if loads[GPU_MANAGER].running < managers:
            # A manager that is still to be placed comes before more generators on its card.
            needs = {name: min(needs[name], loads[name].target) for name in generators}
        _allocate_more(allocation, needs, loads, working)
        for name in generators:
            allocation.allocate(name, min(kept[name], 1))
            allocation.allocate(name, kept[name], leave_room=True)
        return allocation.replicas

    def needed_gpus(self, limits: Mapping[str, Limits], loads: Mapping[str, Load]) -> int:
        """The GPUs that the cluster should have: those that do the work within ``node_s``."""
        if limits[GPU_MANAGER].replica.gpu_share == 0:
            return 0
        return self._needed_managers(limits, loads, self._rules.node_s)

    def _needed_managers(
        self, limits: Mapping[str, Limits], loads: Mapping[str, Load], within_s: float
    ) -> int:
        """The managers that do the work that is there within these seconds.

        A generator's full replica is taken to keep one of them busy, so that there are no more of
        them than replicas that jobs can fill.
        """
        managers = limits[GPU_MANAGER]
        gpu_s, filled, least = 0.0, 0, managers.min_replicas
        for name, load in loads.items():
            limit = limits[name]
            gpu_s += load.work_s / limit.concurrency
            filled += min(math.ceil(load.jobs / limit.concurrency), limit.max_replicas)
            least = max(least, min(limit.min_replicas, 1))
        for_work = min(max(math.ceil(gpu_s / within_s), 1), filled)
        return min(max(for_work, least), managers.max_replicas)

    def _needed_replicas(self, limits: Limits, load: Load) -> int:
        """The replicas that a generator's queue needs."""
        in_time = min(load.job_s / self._rules.drain_s, 1.0)
        for_work = max(math.ceil(load.jobs * in_time / limits.concurrency), min(load.jobs, 1))
        return min(max(for_work, limits.min_replicas), limits.max_replicas)

    def _kept_replicas(self, now: float, name: str, load: Load, need: int) -> int:
        """The surplus replicas to keep if there is room for them."""
        if need >= load.target:
            self._surplus_since.pop(name, None)
            return 0
        since = now - self._surplus_since.setdefault(name, now)
        if since >= self._rules.idle_s:
            return 0
        return load.target if since < self._rules.settle_s else 1


def _allocate_more(
    allocation: _Allocation,
    needs: Mapping[str, int],
    loads: Mapping[str, Load],
    working: Sequence[str],
) -> None:
    """Allocate further replicas to the longest queues, as far as they need them."""

    def able(name: str) -> bool:
        return 0 < allocation.replicas[name] < needs[name] and allocation.fits(
            name, leave_room=True
        )

    def pressure(name: str) -> float:
        return _pressure(loads[name], allocation.limits[name], allocation.replicas[name])

    while candidates := [name for name in working if able(name)]:
        name = max(candidates, key=pressure)
        allocation.replicas[name] += 1


def _pressure(load: Load, limits: Limits, replicas: int) -> float:
    """How long the queue takes with so many replicas; those that it has are worth more to it."""
    longer = RETAINED if replicas < load.target else 1.0
    return longer * load.work_s / (max(replicas, 1) * limits.concurrency)


class _Allocation:
    """The replicas allocated so far."""

    def __init__(self, limits: Mapping[str, Limits], nodes: Sequence[NodeResources]) -> None:
        self.limits, self.nodes = limits, nodes
        self.replicas = dict.fromkeys(limits, 0)

    def fits(self, name: str, *, leave_room: bool = False) -> bool:
        """Whether one more replica of ``name`` fits onto the nodes.

        ``leave_room``: beside a first replica of every generator, whether it has one or not.
        """
        counts = dict(self.replicas)
        if leave_room:
            counts = {other: max(count, 1) for other, count in counts.items()}
        counts[name] += 1
        replicas = [self.limits[other].replica for other, n in counts.items() for _ in range(n)]
        return pack(replicas, self.nodes)

    def allocate(self, name: str, replicas: int, *, leave_room: bool = False) -> None:
        """Allocate up to ``replicas`` replicas of ``name`` in all, as many as fit."""
        while self.replicas[name] < replicas and self.fits(name, leave_room=leave_room):
            self.replicas[name] += 1
