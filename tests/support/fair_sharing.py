"""A queue of jobs beside its ideal: a fluid server that serves all users who wait at once (GPS)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field

from billing import fair_share
from billing.plans import Plan
from db.jobs.fair_queue import next_tag


@dataclass(frozen=True)
class Arrival:
    """A job: when it is submitted, whose it is, and its work in credits. A server does one credit
    in a second."""

    at: float
    user: int
    credits: int
    priority: str = "normal"


@dataclass
class TagQueue:
    """The queue as Postgres and Valkey keep it, without them: tags by the production functions."""

    plans: list[Plan]
    virtual_time: int = 0
    waiting: list[tuple[int, int, Arrival]] = field(default_factory=list)
    count: int = 0

    def submit(self, job: Arrival) -> int:
        """Return the job's tag."""
        last = max((tag for tag, _, other in self.waiting if _flow(other) == _flow(job)), default=0)
        cost = fair_share.cost(job.credits, self.plans[job.user], job.priority)
        tag = next_tag(self.virtual_time, last, cost)
        self.count += 1
        heapq.heappush(self.waiting, (tag, self.count, job))
        return tag

    def start(self) -> Arrival:
        """Take the next job."""
        tag, _, job = heapq.heappop(self.waiting)
        self.virtual_time = max(self.virtual_time, tag)
        return job


def _flow(job: Arrival) -> tuple[int, str]:
    return job.user, job.priority


@dataclass(frozen=True)
class Span:
    """A job that was served alone, from ``start`` for as many seconds as it has credits."""

    job: Arrival
    start: float

    def done(self, at: float) -> float:
        return min(max(at - self.start, 0.0), float(self.job.credits))


def serve(arrivals: list[Arrival], plans: list[Plan]) -> list[Span]:
    """Serve the jobs (sorted by time) one after the other, by their tags."""
    queue, spans, clock, left = TagQueue(plans), [], 0.0, list(reversed(arrivals))
    while left or queue.waiting:
        if not queue.waiting:
            clock = max(clock, left[-1].at)
        while left and left[-1].at <= clock:
            queue.submit(left.pop())
        job = queue.start()
        spans.append(Span(job, clock))
        clock += job.credits
    return spans


class FluidServer:
    """Serves every user who has work at once, in proportion to their weights; rate 1."""

    def __init__(self, weights: list[float]) -> None:
        self.weights = weights
        self.clock = 0.0
        self.backlog: defaultdict[int, float] = defaultdict(float)
        self.done: defaultdict[int, float] = defaultdict(float)

    def submit(self, job: Arrival) -> None:
        self.advance(job.at)
        self.backlog[job.user] += job.credits

    def advance(self, to: float) -> None:
        while to > self.clock:
            busy = {user: left for user, left in self.backlog.items() if left > 1e-9}
            if not busy:
                break
            total = sum(self.weights[user] for user in busy)
            step = min(
                to - self.clock,
                *(left * total / self.weights[user] for user, left in busy.items()),
            )
            for user in busy:
                share = step * self.weights[user] / total
                self.backlog[user] -= share
                self.done[user] += share
            self.clock += step
        self.clock = max(self.clock, to)


def lags(arrivals: list[Arrival], plans: list[Plan]) -> dict[int, tuple[float, float]]:
    """For each user the least and the greatest work by which the ideal was ahead of the queue."""
    spans = serve(arrivals, plans)
    fluid = FluidServer([float(plan.queue_weight) for plan in plans])
    moments = sorted(
        {span.start for span in spans}
        | {span.start + span.job.credits for span in spans}
        | {job.at for job in arrivals}
    )
    found = {job.user: (0.0, 0.0) for job in arrivals}
    left = list(reversed(arrivals))
    for moment in moments:
        while left and left[-1].at <= moment:
            fluid.submit(left.pop())
        fluid.advance(moment)
        for user, (least, most) in found.items():
            served = sum(span.done(moment) for span in spans if span.job.user == user)
            lag = fluid.done[user] - served
            found[user] = min(least, lag), max(most, lag)
    return found
