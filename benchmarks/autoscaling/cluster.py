"""A cluster in simulated time: GPUs, replicas that start, work and drain, and a queue for each.

As Serve and the workers do it: a replica that is asked for starts once a GPU has room for its share
and is up after its loading time; one that is told to stop takes no more jobs, finishes those at
hand and holds its share until then. Which one stops is chosen without looking at its work, those
that are not up first. A replica takes as many jobs at a time as its generator's ``concurrency``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from benchmarks.autoscaling.traffic import Arrival, Catalog
from deployments.autoscaling.packing import EPSILON


@dataclass
class Replica:
    gpu: int | None = None  # None until there was room
    up_at: float = math.inf
    draining: bool = False
    ends: list[float] = field(default_factory=list)  # of the jobs at hand


@dataclass
class Line:
    """One generator's queue, its replicas and what became of its jobs."""

    waiting: deque[Arrival] = field(default_factory=deque)
    replicas: list[Replica] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    target: int = 0
    starts: int = 0

    @property
    def active(self) -> int:
        return sum(len(replica.ends) for replica in self.replicas)

    def running(self, now: float) -> int:
        return sum(replica.up_at <= now and not replica.draining for replica in self.replicas)


class Cluster:
    def __init__(self, catalog: Catalog, gpus: int, load_s: float, seed: int) -> None:
        self._catalog, self._load_s = catalog, load_s
        self._free = [1.0] * gpus
        self._random = Random(seed)
        self.lines = {name: Line() for name in catalog}
        self.now = 0.0
        self.held = self.worked = 0.0  # GPU seconds: by replicas, and by those with a job
        self.most_held = 0.0

    @property
    def gpus(self) -> int:
        return len(self._free)

    def arrive(self, arrival: Arrival) -> None:
        self.lines[arrival.generator].waiting.append(arrival)

    def ask(self, targets: Mapping[str, int]) -> None:
        for name, target in targets.items():
            line = self.lines[name]
            line.target = target
            staying = [replica for replica in line.replicas if not replica.draining]
            for _ in range(target - len(staying)):
                line.replicas.append(Replica())
                line.starts += 1
            if target < len(staying):
                self._random.shuffle(staying)
                staying.sort(key=lambda replica: replica.up_at > self.now, reverse=True)
                for replica in staying[: len(staying) - target]:
                    replica.draining = True

    def step(self, dt: float) -> None:
        """Let ``dt`` seconds pass."""
        self.now += dt
        for name, line in self.lines.items():
            for replica in line.replicas:
                done = [end for end in replica.ends if end <= self.now]
                line.finished += done
                replica.ends = [end for end in replica.ends if end > self.now]
            self._let_go(name, line)
        # Whoever asked first is placed first, but one that does not fit holds up nobody.
        for name, line in self.lines.items():
            for replica in line.replicas:
                if replica.gpu is None:
                    self._place(name, replica)
                if replica.up_at <= self.now and not replica.draining:
                    self._take_jobs(name, line, replica)
        self._account(dt)

    def _let_go(self, name: str, line: Line) -> None:
        staying = []
        for replica in line.replicas:
            if replica.draining and not replica.ends:
                if replica.gpu is not None:
                    self._free[replica.gpu] += self._catalog[name].num_gpus
            else:
                staying.append(replica)
        line.replicas = staying

    def _place(self, name: str, replica: Replica) -> None:
        share = self._catalog[name].num_gpus
        for gpu, free in enumerate(self._free):
            if share <= free + EPSILON:
                self._free[gpu] -= share
                replica.gpu = gpu
                replica.up_at = self.now + self._load_s
                return

    def _take_jobs(self, name: str, line: Line, replica: Replica) -> None:
        while line.waiting and len(replica.ends) < self._catalog[name].concurrency:
            job = line.waiting.popleft()
            line.waits.append(self.now - job.at)
            replica.ends.append(self.now + job.seconds)

    def _account(self, dt: float) -> None:
        held = worked = 0.0
        for name, line in self.lines.items():
            share = self._catalog[name].num_gpus
            for replica in line.replicas:
                held += share * (replica.gpu is not None)
                worked += share * bool(replica.ends)
        self.held += held * dt
        self.worked += worked * dt
        self.most_held = max(self.most_held, held)
