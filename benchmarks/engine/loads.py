"""What is asked of a server, and how it is asked: so many at a time, or as people come."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.engine.servers import Server, Wanted
from models.tiny.evaluate import unseen
from models.tiny.world import caption

STEPS, GUIDANCE = (8, 12, 20), (2.0, 3.0, 5.0)
SHORT, LONG = 6, 40
PATIENCE = 5.0  # a request that takes this many times its alone-time was slow


@dataclass(frozen=True)
class Speed:
    images_per_s: float
    p50_s: float
    p95_s: float


def mixed(count: int, seed: int) -> list[Wanted]:
    """Requests that differ in prompt, seed, steps and guidance."""
    rng = random.Random(seed)
    things = rng.sample(unseen(count, seed), count)
    return [
        Wanted(caption(thing), seed * 1000 + index, rng.choice(STEPS), rng.choice(GUIDANCE))
        for index, thing in enumerate(things)
    ]


def short_and_long(count: int, seed: int) -> list[Wanted]:
    """Four short requests for every long one."""
    rng = random.Random(seed)
    things = rng.sample(unseen(count, seed), count)
    return [
        Wanted(caption(thing), seed * 1000 + index, LONG if rng.random() < 0.2 else SHORT, 3.0)
        for index, thing in enumerate(things)
    ]


def at_a_time(server: Server, requests: Sequence[Wanted], count: int) -> Speed:
    """``count`` callers, each sending its next request when the last one is answered."""
    seconds: list[float] = []

    def one(wanted: Wanted) -> None:
        started = time.perf_counter()
        server.draw(wanted)
        seconds.append(time.perf_counter() - started)

    started = time.perf_counter()
    with ThreadPoolExecutor(count) as callers:
        list(callers.map(one, requests))
    return speed(seconds, time.perf_counter() - started)


def speed(seconds: Sequence[float], wall: float) -> Speed:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return Speed(len(ordered) / wall, statistics.median(ordered), p95)


def as_people_come(
    server: Server,
    requests: Sequence[Wanted],
    per_s: float,
    alone_s: Callable[[Wanted], float],
    seed: int,
) -> float:
    """Replay Poisson arrivals; the share that is answered within ``PATIENCE`` x its alone-time."""
    rng = random.Random(seed)
    in_time: list[bool] = []

    def one(wanted: Wanted) -> None:
        started = time.perf_counter()
        server.draw(wanted)
        in_time.append(time.perf_counter() - started <= PATIENCE * alone_s(wanted))

    threads = []
    for wanted in requests:
        time.sleep(rng.expovariate(per_s))
        threads.append(threading.Thread(target=one, args=(wanted,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return sum(in_time) / len(in_time)
