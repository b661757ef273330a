"""The traffic that is replayed: when jobs of which generator come, and how long each takes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from deployments.contract import GeneratorSpec

Catalog = Mapping[str, GeneratorSpec[Any]]
SPREAD = 0.3  # of a job's seconds: sigma of their logarithm
DAY_S = 1200.0
BURST_EVERY_S = 240.0
BURST_JOBS = 60


@dataclass(frozen=True, order=True)
class Arrival:
    at: float
    generator: str
    seconds: float


@dataclass(frozen=True)
class Scenario:
    """``busy``: the part of the GPUs' time that its jobs need, about; over 1 is too much for them.
    ``rate`` gives the part of it that falls to a generator at a moment."""

    name: str
    gpus: int
    busy: float
    rate: Callable[[str, float], float]
    bursts: bool = False
    # Of a GPU, where they are not the catalogue's.
    shares: dict[str, float] = field(default_factory=dict)

    def catalog(self, catalog: Catalog) -> Catalog:
        """The generators with the shares that they have here."""
        return {
            name: replace(spec, num_gpus=self.shares.get(name, spec.num_gpus))
            for name, spec in catalog.items()
        }


def scenarios(catalog: Catalog) -> list[Scenario]:
    names = list(catalog)
    even = 1 / len(names)

    def diurnal(name: str, t: float) -> float:
        phase = 2 * math.pi * (t / DAY_S + names.index(name) / len(names))
        return even * (1 + 0.9 * math.sin(phase))

    def heavy(name: str, t: float) -> float:
        return 0.75 if name == "story_video" else 0.25 / (len(names) - 1)

    def steady(name: str, t: float) -> float:
        return even

    return [
        Scenario("saturated", 1, 1.6, steady, shares=dict.fromkeys(names, 0.5)),
        Scenario("bursts", 2, 0.25, steady, bursts=True),
        Scenario("diurnal", 2, 0.6, diurnal),
        Scenario("one heavy", 2, 0.6, heavy),
    ]


def arrivals(scenario: Scenario, catalog: Catalog, seconds: float, seed: int) -> list[Arrival]:
    """Every arrival, in order of time: Poisson, the same for every policy."""
    streams = [
        _stream(scenario, spec, seconds, Random(f"{seed} {scenario.name} {name}"))
        for name, spec in catalog.items()
    ]
    if scenario.bursts:
        streams.append(_bursts(catalog, seconds, Random(f"{seed} {scenario.name} bursts")))
    return list(heapq.merge(*streams))


def _stream(
    scenario: Scenario, spec: GeneratorSpec[Any], seconds: float, random: Random
) -> Iterator[Arrival]:
    # GPU seconds that a job needs, when its replica is full.
    costs = spec.expected_seconds * spec.num_gpus / spec.concurrency
    highest = scenario.gpus * scenario.busy / costs
    t = 0.0
    while (t := t + random.expovariate(highest)) < seconds:
        if random.random() < scenario.rate(spec.name, t):
            yield Arrival(t, spec.name, _seconds(spec, random))


def _bursts(catalog: Catalog, seconds: float, random: Random) -> Iterator[Arrival]:
    t = 0.0
    while (t := t + random.expovariate(1 / BURST_EVERY_S)) < seconds:
        spec = catalog[random.choice(list(catalog))]
        jobs = max(2, round(BURST_JOBS * 4.0 / spec.expected_seconds))
        burst = sorted(t + random.random() for _ in range(jobs))
        yield from (Arrival(at, spec.name, _seconds(spec, random)) for at in burst)


def _seconds(spec: GeneratorSpec[Any], random: Random) -> float:
    return spec.expected_seconds * random.lognormvariate(-(SPREAD**2) / 2, SPREAD)
