"""What is asked of a server, how it is asked (so many at a time, or as people come), and how the
answers are judged. Nothing here knows torch or HTTP."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from models.tiny.world import caption, unseen

STEPS, GUIDANCE = (8, 12, 20), (2.0, 3.0, 5.0)
SHORT, LONG = 6, 40
USERS = 3
PATIENCE = 5.0  # a request that takes this many times its alone-time was slow


@dataclass(frozen=True)
class Wanted:
    """One picture, and which of the users wants it."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    scheduler: str = "default"
    user: int = 0


class Server(Protocol):
    """Draws; may be called from any number of threads.

    ``draw`` raises :class:`Refused` if it turned the request away or gave up on it.
    """

    @property
    def name(self) -> str: ...

    def draw(self, wanted: Wanted) -> Any: ...


class Refused(RuntimeError):
    """The server did not answer with a picture; the message says what it answered."""


@dataclass(frozen=True)
class Speed:
    """Pictures a second, and the median and the 95th percentile of the latency in seconds."""

    images_per_s: float
    p50_s: float
    p95_s: float


@dataclass(frozen=True)
class Answered:
    """A request and the seconds until its picture was there; None: it was refused."""

    wanted: Wanted
    seconds: float | None


def mixed(count: int, seed: int) -> list[Wanted]:
    """Requests that differ in prompt, seed, steps and guidance, of each user in turn."""
    rng = random.Random(seed)
    return [
        Wanted(
            prompt,
            seed * 1000 + index,
            rng.choice(STEPS),
            rng.choice(GUIDANCE),
            user=index % USERS,
        )
        for index, prompt in enumerate(_prompts(count, seed, rng))
    ]


def short_and_long(count: int, seed: int) -> list[Wanted]:
    """Four short requests for every long one."""
    rng = random.Random(seed)
    return [
        Wanted(prompt, seed * 1000 + index, LONG if rng.random() < 0.2 else SHORT, 3.0)
        for index, prompt in enumerate(_prompts(count, seed, rng))
    ]


def of_three_users(count: int, seed: int) -> list[Wanted]:
    """Short and long requests of three users who all want the same number of steps.

    User 0 asks for long pictures, and the other two for short ones, which are as many times as
    frequent as they are shorter. So each is entitled to a third of the server.
    """
    rng = random.Random(seed)
    steps = (LONG, SHORT, SHORT)
    users = rng.choices(range(len(steps)), weights=[1 / each for each in steps], k=count)
    return [
        Wanted(prompt, seed * 1000 + index, steps[user], 3.0, user=user)
        for index, (prompt, user) in enumerate(zip(_prompts(count, seed, rng), users, strict=True))
    ]


def _prompts(count: int, seed: int, rng: random.Random) -> list[str]:
    return [caption(thing) for thing in rng.sample(unseen(count, seed), count)]


def at_a_time(server: Server, requests: Sequence[Wanted], count: int) -> Speed:
    """``count`` callers, each sending its next request when the last one is answered.

    Raises:
        Refused: not one request was answered. What else was refused counts as no picture.
    """
    started = time.perf_counter()
    with ThreadPoolExecutor(count) as callers:
        answers = list(callers.map(lambda wanted: _answered(server, wanted), requests))
    wall = time.perf_counter() - started
    if not (seconds := [answer.seconds for answer in answers if answer.seconds is not None]):
        raise Refused(f"{server.name} answered none of {len(requests)} requests")
    return speed(seconds, wall)


def poisson_arrivals(count: int, per_s: float, seed: int) -> list[float]:
    """When each of ``count`` requests comes, in seconds from the start.

    The gaps are exponential with a mean of ``1 / per_s``.
    """
    rng = random.Random(seed)
    return list(accumulate(rng.expovariate(per_s) for _ in range(count)))


def as_people_come(
    server: Server, requests: Sequence[Wanted], arrivals: Sequence[float]
) -> list[Answered]:
    """Send each request when it comes, whatever became of those before; answers in that order."""

    started = time.perf_counter()
    with ThreadPoolExecutor(len(requests)) as callers:
        answers = []
        for wanted, at_s in zip(requests, arrivals, strict=True):
            time.sleep(max(0.0, started + at_s - time.perf_counter()))
            answers.append(callers.submit(_answered, server, wanted))
    return [answer.result() for answer in answers]


def _answered(server: Server, wanted: Wanted) -> Answered:
    started = time.perf_counter()
    try:
        server.draw(wanted)
    except Refused:
        return Answered(wanted, None)
    return Answered(wanted, time.perf_counter() - started)


def speed(seconds: Sequence[float], wall: float) -> Speed:
    """Sum up latencies that were measured within ``wall`` seconds."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return Speed(len(ordered) / wall, statistics.median(ordered), p95)


def median_speed(each: Sequence[Speed]) -> Speed:
    """The median of each figure over several rounds."""
    return Speed(
        statistics.median(s.images_per_s for s in each),
        statistics.median(s.p50_s for s in each),
        statistics.median(s.p95_s for s in each),
    )


def share_in_time(answers: Sequence[Answered], alone_s: Callable[[Wanted], float]) -> float:
    """The share that was answered within ``PATIENCE`` times what it takes alone."""
    in_time = (a.seconds is not None and a.seconds <= PATIENCE * alone_s(a.wanted) for a in answers)
    return sum(in_time) / len(answers)


def pace_by_user(
    answers: Sequence[Answered], alone_s: Callable[[Wanted], float]
) -> dict[int, float]:
    """How fast each user is served, as a share of what being alone would give.

    The mean of alone-time / latency over the user's requests; a refused one counts as 0.
    """
    paces: dict[int, list[float]] = {}
    for answer in answers:
        pace = 0.0 if answer.seconds is None else alone_s(answer.wanted) / answer.seconds
        paces.setdefault(answer.wanted.user, []).append(pace)
    return {user: statistics.mean(each) for user, each in paces.items()}


def jain_index(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 if all get the same, 1/n if one gets everything.

    From Jain, Chiu and Hawe 1984, DEC-TR-301. Where nobody gets anything all get the same.
    """
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
