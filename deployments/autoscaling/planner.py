"""Divide the nodes' GPUs and CPUs among generators: arithmetic on their loads and a given clock.

Each replica takes its generator's share of a GPU, 0 on a machine without GPUs, and its CPUs. They
are allocated in this order:

1. *Minimum*: the replicas that operators set as each generator's minimum.
2. *First replica*: one for every generator with work. If the nodes are too few for all of them,
   generators take turns. Loading is ``Rules.overhead`` of a turn, and a turn is up to three times
   longer for a generator with more than its part of the queued work. The generator that has waited
   longest is next. While it needs more GPUs than the turns that have ended free, no generator
   behind it starts, so that small shares cannot starve a large one.
3. *More replicas*, one by one, to the generator whose queue would take longest to empty.
4. *Surplus* replicas stay for a while if there is room, so that a queue that comes and goes
   does not start and stop them. A generator that has just run out of work keeps one for as long as
   loading it again would take; only a starved generator may take that one.

The same loads tell how many GPUs the cluster should have (``needed_gpus``), for clusters that grow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.autoscaling.packing import NodeResources, ReplicaResources, count_gpus, pack

RETAINED = 1.25  # an extra replica moves only to a queue that is longer by this factor
LONGER_TURNS = 3.0


@dataclass(frozen=True)
class GeneratorLimits:
    """One generator's limits: what a replica claims and its concurrent jobs, and the minimum and
    maximum number of replicas that operators allow."""

    gpu_share: float
    concurrency: int = 1
    min_replicas: int = 0
    max_replicas: int = 1
    cpus: float = 0.0

    @property
    def replica(self) -> ReplicaResources:
        return ReplicaResources(self.cpus, self.gpu_share)


@dataclass(frozen=True)
class GeneratorLoad:
    """One generator's current load: its queued and active jobs, its requested (``target``) and
    running replicas, and the seconds that a job and a load take."""

    waiting: int
    active: int
    target: int
    running: int
    job_s: float
    load_s: float


@dataclass(frozen=True)
class Rules:
    """The policy's settings, in seconds but for ``overhead``.

    ``drain_s``: a queue should be empty after it. ``idle_s``: a generator without jobs goes to zero
    after it. ``settle_s``: surplus replicas stay for it. ``overhead``: the fraction of a turn that
    loading may take, within the shortest and longest turn.
    """

    drain_s: float = 20.0
    idle_s: float = 60.0
    settle_s: float = 30.0
    overhead: float = 0.1
    shortest_turn_s: float = 10.0
    longest_turn_s: float = 300.0
    # A replica that is not up after this (or five times its loading time) loses its place.
    patience_s: float = 60.0
    # What a new node takes until its replicas run. More GPUs are worth it once the work that is
    # there would take longer than this on fewer.
    node_s: float = 300.0


@dataclass
class _Timestamps:
    """The time at which each condition became true; None while it is false."""

    starved: float | None = None  # jobs wait and no replica is requested
    requested: float | None = None  # a replica is requested
    running: float | None = None  # one runs
    surplus: float | None = None  # more are requested than the queue needs
    idle: float | None = None  # one is requested and there is no job


class Planner:
    """Remembers since when each condition holds, and plans the replicas to request now."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._timestamps: dict[str, _Timestamps] = defaultdict(_Timestamps)

    def plan(
        self,
        now: float,
        nodes: Sequence[NodeResources],
        limits: Mapping[str, GeneratorLimits],
        loads: Mapping[str, GeneratorLoad],
    ) -> dict[str, int]:
        """The replicas to request of each generator; together they fit onto ``nodes``.

        ``limits`` and ``loads`` have the same generators; ``now`` is of a monotonic clock.
        """
        needs = {name: self._needed_replicas(limits[name], load) for name, load in loads.items()}
        for name, load in loads.items():
            self._update_timestamps(now, name, load, needs[name])
        allocation = _Allocation(limits, nodes)
        for name in limits:
            allocation.allocate(name, limits[name].min_replicas)
        reserved = self._allocate_minimum(now, allocation, loads)
        _allocate_rest(allocation, loads, needs, reserved)
        for name, load in loads.items():
            allocation.allocate(
                name, min(self._retained_replicas(now, name, load), limits[name].max_replicas)
            )
        return allocation.allocated

    def needed_gpus(
        self, limits: Mapping[str, GeneratorLimits], loads: Mapping[str, GeneratorLoad]
    ) -> list[int]:
        """The GPUs that the cluster should have, as what single nodes must have of them.

        They do the work that is there within ``node_s``; there are no more of them than replicas
        could use, and enough for each generator alone and for all minimums. Each number is the
        GPUs of one node: ``[2, 1, 1]`` is four GPUs, two of them on the same node.
        """
        least = [limit.replica for limit in limits.values() for _ in range(limit.min_replicas)]
        most: list[ReplicaResources] = []
        gpu_seconds, largest = 0.0, 0
        for name, load in loads.items():
            limit, jobs = limits[name], _job_count(load)
            filled = min(math.ceil(jobs / limit.concurrency), limit.max_replicas)
            most += [limit.replica] * max(filled, limit.min_replicas)
            if jobs:
                seconds = _work_seconds(load) / limit.concurrency + load.load_s
                gpu_seconds += limit.gpu_share * seconds
            if jobs or limit.min_replicas:
                largest = max(largest, math.ceil(limit.gpu_share))
        for_work = min(math.ceil(gpu_seconds / self._rules.node_s), count_gpus(most))
        gpus = max(for_work, count_gpus(least), largest)
        return [largest, *[1] * (gpus - largest)] if gpus else []

    def _needed_replicas(self, limits: GeneratorLimits, load: GeneratorLoad) -> int:
        """The replicas that the queue would need without other generators."""
        jobs = _job_count(load)
        within = limits.concurrency * max(self._rules.drain_s, load.load_s)
        for_work = max(math.ceil(jobs * load.job_s / within), min(jobs, 1))
        need = min(for_work, math.ceil(jobs / limits.concurrency))
        return min(max(need, limits.min_replicas), limits.max_replicas)

    def _retained_replicas(self, now: float, name: str, load: GeneratorLoad) -> int:
        """The surplus replicas to keep if no other generator needs the GPUs."""
        surplus, rules = self._timestamps[name].surplus, self._rules
        if surplus is None or now - surplus >= rules.idle_s:
            return 0
        return load.target if now - surplus < rules.settle_s else 1

    def _update_timestamps(self, now: float, name: str, load: GeneratorLoad, need: int) -> None:
        since = self._timestamps[name]
        since.starved = _updated_since(since.starved, now, load.target == 0 and load.waiting > 0)
        since.requested = _updated_since(since.requested, now, load.target > 0)
        since.running = _updated_since(since.running, now, load.target > 0 and load.running > 0)
        since.surplus = _updated_since(since.surplus, now, need < load.target)
        since.idle = _updated_since(since.idle, now, load.target > 0 and _job_count(load) == 0)

    def _allocate_minimum(
        self, now: float, allocation: _Allocation, loads: Mapping[str, GeneratorLoad]
    ) -> bool:
        """Allocate one replica to each generator with work whose turn it is.

        Returns whether a starved generator waits for room that others still use.
        """
        with_replicas = [
            name for name in loads if loads[name].target > 0 and self._is_busy(now, name, loads)
        ]
        # If GPUs were removed, the generators whose turns have lasted longest lose theirs first.
        for name in sorted(with_replicas, key=lambda name: self._turn_overrun(now, name, loads)):
            allocation.allocate(name, 1)
        starved = {
            name: since.starved
            for name, since in self._timestamps.items()
            if since.starved is not None
        }
        for name in sorted(starved, key=lambda name: starved[name]):
            over = [other for other in with_replicas if self._turn_overrun(now, other, loads) >= 0]
            over = [other for other in over if allocation.can_remove(other)]
            over.sort(key=lambda other: self._turn_overrun(now, other, loads))
            if not allocation.make_room(name, over):
                return True
            allocation.allocate(name, 1)
        return False

    def _is_busy(self, now: float, name: str, loads: Mapping[str, GeneratorLoad]) -> bool:
        """Whether a generator has work, or has had none only for less than its loading time."""
        idle = self._timestamps[name].idle
        return idle is None or now - idle < loads[name].load_s

    def _turn_overrun(self, now: float, name: str, loads: Mapping[str, GeneratorLoad]) -> float:
        """Seconds since the turn of a generator with replicas ended; negative while it lasts."""
        load, since, rules = loads[name], self._timestamps[name], self._rules
        if _job_count(load) == 0:
            return math.inf
        if since.running is None:
            requested = now if since.requested is None else since.requested
            return now - requested - max(rules.patience_s, 5 * load.load_s)
        return now - since.running - self._turn_seconds(name, loads)

    def _turn_seconds(self, name: str, loads: Mapping[str, GeneratorLoad]) -> float:
        rules = self._rules
        base = loads[name].load_s * (1 - rules.overhead) / rules.overhead
        base = min(max(base, rules.shortest_turn_s), rules.longest_turn_s)
        work = {
            other: _work_seconds(load) for other, load in loads.items() if _work_seconds(load) > 0
        }
        part = work.get(name, 0.0) / sum(work.values()) * len(work) if work else 1.0
        return base * min(max(part, 1.0), LONGER_TURNS)


def _allocate_rest(
    allocation: _Allocation,
    loads: Mapping[str, GeneratorLoad],
    needs: Mapping[str, int],
    reserved: bool,
) -> None:
    """Allocate what remains to the longest queues; if ``reserved``, add no replicas."""

    def able(name: str) -> bool:
        limit = min(needs[name], loads[name].target) if reserved else needs[name]
        return 0 < allocation.allocated[name] < limit and allocation.fits(name)

    def pressure(name: str) -> float:
        replicas = allocation.allocated[name]
        longer = RETAINED if replicas < loads[name].target else 1.0
        return (
            longer * _work_seconds(loads[name]) / (replicas * allocation.limits[name].concurrency)
        )

    while candidates := [name for name in allocation.allocated if able(name)]:
        name = max(candidates, key=pressure)
        allocation.allocate(name, allocation.allocated[name] + 1)


class _Allocation:
    """The replicas allocated so far."""

    def __init__(
        self, limits: Mapping[str, GeneratorLimits], nodes: Sequence[NodeResources]
    ) -> None:
        self.limits, self._nodes = limits, nodes
        self.allocated = dict.fromkeys(limits, 0)

    def fits(self, name: str) -> bool:
        """Whether one more replica of ``name`` fits onto the nodes."""
        replicas = [
            self.limits[other].replica
            for other, count in self.allocated.items()
            for _ in range(count)
        ]
        return pack([*replicas, self.limits[name].replica], self._nodes)

    def allocate(self, name: str, replicas: int) -> None:
        """Allocate up to ``replicas`` replicas of ``name`` in all, as many as fit."""
        while self.allocated[name] < replicas and self.fits(name):
            self.allocated[name] += 1

    def can_remove(self, name: str) -> bool:
        return self.allocated[name] > self.limits[name].min_replicas

    def make_room(self, name: str, over: list[str]) -> bool:
        """Remove a replica of each generator in ``over``, the last one first, until ``name`` fits.

        Returns False, and removes none, if ``name`` would not fit without all of them.
        """
        before = dict(self.allocated)
        for other in reversed(over):
            if self.fits(name):
                return True
            self.allocated[other] -= 1
        if self.fits(name):
            return True
        self.allocated = before
        return False


def _updated_since(since: float | None, now: float, true: bool) -> float | None:
    if not true:
        return None
    return now if since is None else since


def _job_count(load: GeneratorLoad) -> int:
    return load.waiting + load.active


def _work_seconds(load: GeneratorLoad) -> float:
    """Seconds of queued and active work."""
    return _job_count(load) * load.job_s
