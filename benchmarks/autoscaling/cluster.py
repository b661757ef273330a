"""A cluster in simulated time: GPUs, replicas that start, work and drain, and a queue for each.

As Serve and the workers do it: a replica that is asked for starts once a GPU has room for its share
and is up after its start; one that is told to stop takes no more jobs, finishes those at hand and
holds its share until then. Which one stops is chosen without looking at its work, those that are
not up first. A replica takes as many jobs at a time as its generator's ``concurrency``.

``managed`` is the service as it is: jobs of all generators work on the cards that managers own.
Otherwise each replica works for itself on the card it is on, as it was before there were managers.
``by_model``: a job goes to the card that has its model, unless waiting there takes longer than
loading it elsewhere; otherwise to the one with the fewest jobs, whatever it has.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from benchmarks.autoscaling.card import Card, Job
from benchmarks.autoscaling.traffic import Arrival, Catalog, Scenario
from deployments.autoscaling.packing import EPSILON
from deployments.gpu_manager.manager_choice import REPORT_INTERVAL_S, ManagerChoice, ManagerLoad
from deployments.gpu_manager.names import GPU_MANAGER, GPU_SHARE

START_S = 1.0  # of a generator's replica without weights
# These draw, with the one network that a card's profile has for it, and their jobs share batches;
# study_animation has its scripts written, by another model.
DRAWING = ("image", "cloth_swap", "influencer", "video3d", "story_video")


@dataclass(eq=False)
class Replica:
    gpu: int | None = None  # None until there was room
    up_at: float = math.inf
    draining: bool = False
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Line:
    """One deployment's queue, its replicas and what became of its jobs."""

    waiting: deque[Arrival] = field(default_factory=deque)
    replicas: list[Replica] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)  # from arrival to end
    finished: list[float] = field(default_factory=list)
    target: int = 0
    starts: int = 0

    @property
    def active(self) -> list[Job]:
        return [job for replica in self.replicas for job in replica.jobs]

    def running(self, now: float) -> int:
        return sum(replica.up_at <= now and not replica.draining for replica in self.replicas)


class Cluster:
    def __init__(
        self,
        catalog: Catalog,
        scenario: Scenario,
        load_s: float,
        seed: int,
        *,
        managed: bool,
        by_model: bool = True,
    ) -> None:
        self._catalog, self._load_s, self._managed = catalog, load_s, managed
        self._shares = dict.fromkeys(catalog, scenario.share)
        if managed:
            self._shares = {name: spec.num_gpus for name, spec in catalog.items()}
            self._shares[GPU_MANAGER] = GPU_SHARE
        self.lines = {name: Line() for name in self._shares}
        self._free = [1.0] * scenario.gpus
        holds = scenario.models_a_card if managed else None
        self.cards = [Card(load_s, scenario.gain, holds) for _ in range(scenario.gpus)]
        self._apart, self._random = scenario.apart, Random(seed)
        self.now = 0.0
        self._choice = ManagerChoice(lambda: self.now) if by_model else None
        self._reports: dict[str, ManagerLoad] = {}
        self._reported = -math.inf

    @property
    def loads(self) -> int:
        """How often a model was loaded: by managers, or by replicas that started."""
        starts = sum(line.starts for line in self.lines.values())
        return sum(card.loads for card in self.cards) if self._managed else starts

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
        for card in self.cards:
            card.advance(self.now, dt)
        for name, line in self.lines.items():
            self._let_go(name, line)
        if self.now - self._reported >= REPORT_INTERVAL_S:
            self._reported = self.now
            self._reports = {str(gpu): self._report(card) for gpu, card in enumerate(self.cards)}
        # Whoever asked first is placed first, but one that does not fit holds up nobody.
        for name, line in self.lines.items():
            for replica in line.replicas:
                if replica.gpu is None:
                    self._place(name, replica)
                if replica.up_at <= self.now and not replica.draining:
                    self._take_jobs(name, line, replica)

    def _let_go(self, name: str, line: Line) -> None:
        staying = []
        for replica in line.replicas:
            done = [job for job in replica.jobs if job.done]
            line.finished += [self.now] * len(done)
            line.results += [self.now - job.at for job in done]
            for job in done:
                if self._choice is not None:
                    self._choice.ended(str(id(job)))
            replica.jobs = [job for job in replica.jobs if not job.done]
            works = replica.jobs or (
                name == GPU_MANAGER and replica.gpu is not None and self.cards[replica.gpu].jobs
            )
            if replica.draining and not works:
                if replica.gpu is not None:
                    self._free[replica.gpu] += self._shares[name]
                    if name == GPU_MANAGER:
                        self.cards[replica.gpu].loaded.clear()
            else:
                staying.append(replica)
        line.replicas = staying

    def _place(self, name: str, replica: Replica) -> None:
        share = self._shares[name]
        for gpu, free in enumerate(self._free):
            if share <= free + EPSILON:
                self._free[gpu] -= share
                replica.gpu = gpu
                small = self._managed and name != GPU_MANAGER
                replica.up_at = self.now + (START_S if small else self._load_s)
                return

    def _take_jobs(self, name: str, line: Line, replica: Replica) -> None:
        while line.waiting and len(replica.jobs) < self._catalog[name].concurrency:
            arrival = line.waiting[0]
            job = Job(name, arrival.at, arrival.work_s)
            group = f"{name} {id(replica)}"
            card = None if replica.gpu is None else self.cards[replica.gpu]
            if self._managed:
                group, card = self._model_of(name), self._choose_card(job)
            if card is None:
                return
            line.waiting.popleft()
            line.waits.append(self.now - arrival.at)
            replica.jobs.append(job)
            card.add(group, job)

    def _model_of(self, generator: str) -> str:
        return "drawing" if generator in DRAWING and not self._apart else generator

    def _report(self, card: Card) -> ManagerLoad:
        """What the manager of ``card`` tells."""
        loaded = [name for name in self._catalog if self._model_of(name) in card.loaded]
        return ManagerLoad(
            frozenset(loaded),
            frozenset(self._catalog if card.holds is None or len(card.loaded) < card.holds else ()),
            dict.fromkeys(loaded, self._load_s),
            dict(card.device.seconds),
            card.device.at_work(),
        )

    def _choose_card(self, job: Job) -> Card | None:
        """The card of the manager that runs ``job``, if there is one."""
        managed = [
            replica.gpu
            for replica in self.lines[GPU_MANAGER].replicas
            if replica.gpu is not None and replica.up_at <= self.now and not replica.draining
        ]
        if not managed:
            return None
        if self._choice is None:
            return min((self.cards[gpu] for gpu in managed), key=lambda card: card.jobs)
        loads = {str(gpu): self._reports.get(str(gpu), ManagerLoad()) for gpu in managed}
        return self.cards[int(self._choice.rank(str(id(job)), job.generator, loads)[0])]
