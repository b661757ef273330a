"""The traffic that is replayed: when jobs of which generator come, and how much work each is."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from benchmarks.autoscaling.card import batch_gain
from deployments.contract import GeneratorSpec

Catalog = Mapping[str, GeneratorSpec[Any]]
SPREAD = 0.3  # of a job's seconds: sigma of their logarithm
DAY_S = 1200.0
BURST_EVERY_S = 240.0
BURST_JOBS = 60


@dataclass(frozen=True, order=True)
class Arrival:
    """A job that takes ``work_s`` seconds of a card that does nothing else."""

    at: float
    generator: str
    work_s: float


@dataclass(frozen=True)
class Scenario:
    """``busy``: the part of the GPUs' time that its jobs need, about, if each generator works alone
    on its ``share`` of a card with as many jobs as it takes; over 1 is too much for them so.
    ``rate`` gives the part of it that falls to a generator at a moment. ``gain``: the part of the
    measured gain of batches that there is. ``apart``: no generator draws with another's network."""

    name: str
    gpus: int
    busy: float
    rate: Callable[[str, float], float]
    bursts: bool = False
    share: float = 1.0
    gain: float = 1.0
    apart: bool = False

    @property
    def models_a_card(self) -> int:
        """How many models a card holds: with its share a generator had memory for one."""
        return int(1 / self.share)


def scenarios(catalog: Catalog, gain: float, apart: bool) -> list[Scenario]:
    names = list(catalog)
    even = 1 / len(names)

    def diurnal(name: str, t: float) -> float:
        phase = 2 * math.pi * (t / DAY_S + names.index(name) / len(names))
        return even * (1 + 0.9 * math.sin(phase))

    def heavy(name: str, t: float) -> float:
        return 0.75 if name == "story_video" else 0.25 / (len(names) - 1)

    def steady(name: str, t: float) -> float:
        return even

    made = partial(Scenario, gain=gain, apart=apart)
    return [
        made("bursts", 2, 0.25, steady, bursts=True),
        made("diurnal", 2, 0.6, diurnal),
        made("one heavy", 2, 0.6, heavy),
        made("too much", 1, 1.6, steady, share=0.5),
        # More models than a card holds, and more cards than one.
        Scenario("four cards", 4, 0.6, diurnal, share=0.5, gain=gain, apart=True),
    ]


def arrivals(scenario: Scenario, catalog: Catalog, seconds: float, seed: int) -> list[Arrival]:
    """Every arrival, in order of time: Poisson, the same for every policy."""
    streams = [
        _stream(scenario, spec, seconds, Random(f"{seed} {scenario.name} {name}"))
        for name, spec in catalog.items()
    ]
    if scenario.bursts:
        streams.append(
            _bursts(scenario, catalog, seconds, Random(f"{seed} {scenario.name} bursts"))
        )
    return list(heapq.merge(*streams))


def _stream(
    scenario: Scenario, spec: GeneratorSpec[Any], seconds: float, random: Random
) -> Iterator[Arrival]:
    # GPU seconds that a job needs, when its replica is full.
    costs = spec.expected_seconds * scenario.share / spec.concurrency
    highest = scenario.gpus * scenario.busy / costs
    t = 0.0
    while (t := t + random.expovariate(highest)) < seconds:
        if random.random() < scenario.rate(spec.name, t):
            yield Arrival(t, spec.name, _work_seconds(scenario, spec, random))


def _bursts(
    scenario: Scenario, catalog: Catalog, seconds: float, random: Random
) -> Iterator[Arrival]:
    t = 0.0
    while (t := t + random.expovariate(1 / BURST_EVERY_S)) < seconds:
        spec = catalog[random.choice(list(catalog))]
        jobs = max(2, round(BURST_JOBS * 4.0 / spec.expected_seconds))
        burst = sorted(t + random.random() for _ in range(jobs))
        yield from (Arrival(at, spec.name, _work_seconds(scenario, spec, random)) for at in burst)


def _work_seconds(scenario: Scenario, spec: GeneratorSpec[Any], random: Random) -> float:
    """The catalogue's seconds are those of a job in a full replica on its share of a card."""
    seconds = spec.expected_seconds * random.lognormvariate(-(SPREAD**2) / 2, SPREAD)
    alone = batch_gain(spec.concurrency, scenario.gain) / spec.concurrency
    return seconds * scenario.share * alone
