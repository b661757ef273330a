"""Who gets how much of the budget: plain arithmetic over what was seen, with the clock passed in.

The budget is a number of GPUs, of each of which a replica takes its generator's share; a share of 0
costs nothing, as on machines without one. Shares are dealt in this order:

1. *Floors*: the least that operators set for each generator.
2. *Seats*: one replica for every generator that has work. Where the budget has fewer seats than
   that, generators take turns. A turn is long enough that loading is ``Rules.overhead`` of it, and
   up to three times longer for a generator that has more than its part of the queued work; who has
   waited longest is next. While the next one needs more room than turns that have ended can give,
   nobody behind it may start, so that small shares cannot starve a large one.
3. *More replicas*, one by one, to the generator whose queue would take longest to empty.
4. *Surplus* is kept for a while with what is left, so that a queue that comes and goes does not
   start and stop replicas. A generator that has just run out of work keeps one for as long as
   loading it again would take, whoever else has use for it; only a starved one comes before that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

EPSILON = 1e-6
RETAINED = 1.25  # an extra replica moves only to a queue that is longer by this factor
LONGER_TURNS = 3.0


@dataclass(frozen=True)
class GeneratorLimits:
    """What holds for one generator: the ``share`` of a GPU that a replica takes, how many jobs it
    runs at a time, and the least and most replicas that operators allow."""

    gpu_share: float
    concurrency: int = 1
    min_replicas: int = 0
    max_replicas: int = 1


@dataclass(frozen=True)
class GeneratorLoad:
    """A generator now: its queue, the replicas asked for and those that run, and what its jobs and
    its loading take (seconds)."""

    waiting: int
    active: int
    target: int
    running: int
    job_s: float
    load_s: float


@dataclass(frozen=True)
class Rules:
    """``drain_s``: in which a queue should be empty; ``idle_s``: without a job until a generator
    goes to zero; ``settle_s``: for which a surplus replica is kept; ``overhead``: the part of a
    turn that loading may take; turns are never shorter or longer than said. Seconds."""

    drain_s: float = 20.0
    idle_s: float = 60.0
    settle_s: float = 30.0
    overhead: float = 0.1
    shortest_turn_s: float = 10.0
    longest_turn_s: float = 300.0
    # A replica that is not up after so long (or five times its loading) does not hold its seat.
    patience_s: float = 60.0


@dataclass
class _Timestamps:
    """When each of these became true; None while it is not."""

    starved: float | None = None  # jobs wait and no replica is asked for
    asked: float | None = None  # a replica is asked for
    running: float | None = None  # one runs
    surplus: float | None = None  # more are asked for than the queue needs
    idle: float | None = None  # one is asked for and there is no job


class Planner:
    """Remembers since when things are as they are, and says what to ask for now."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._timestamps: dict[str, _Timestamps] = defaultdict(_Timestamps)

    def plan(
        self,
        now: float,
        gpus: int,
        terms: Mapping[str, GeneratorLimits],
        seen: Mapping[str, GeneratorLoad],
    ) -> dict[str, int]:
        """The replicas to ask for; together they fit onto ``gpus`` GPUs.

        ``terms`` and ``seen`` have the same generators; ``now`` is of a clock that never goes back.
        """
        needs = {name: self._needed_replicas(terms[name], one) for name, one in seen.items()}
        for name, one in seen.items():
            self._update_timestamps(now, name, one, needs[name])
        deal = _Allocation(terms, gpus)
        for name in terms:
            deal.allocate(name, terms[name].min_replicas)
        reserved = self._allocate_minimum(now, deal, seen)
        _allocate_rest(deal, seen, needs, reserved)
        for name, one in seen.items():
            deal.allocate(
                name, min(self._retained_replicas(now, name, one), terms[name].max_replicas)
            )
        return deal.allocated

    def _needed_replicas(self, terms: GeneratorLimits, one: GeneratorLoad) -> int:
        """Replicas that the queue calls for, were there no others."""
        jobs = _job_count(one)
        within = terms.concurrency * max(self._rules.drain_s, one.load_s)
        wanted = max(math.ceil(jobs * one.job_s / within), min(jobs, 1))
        need = min(wanted, math.ceil(jobs / terms.concurrency))
        return min(max(need, terms.min_replicas), terms.max_replicas)

    def _retained_replicas(self, now: float, name: str, one: GeneratorLoad) -> int:
        """Replicas to keep though the queue does not call for them, where nobody else does."""
        surplus, rules = self._timestamps[name].surplus, self._rules
        if surplus is None or now - surplus >= rules.idle_s:
            return 0
        return one.target if now - surplus < rules.settle_s else 1

    def _update_timestamps(self, now: float, name: str, one: GeneratorLoad, need: int) -> None:
        since = self._timestamps[name]
        since.starved = _updated_since(since.starved, now, one.target == 0 and one.waiting > 0)
        since.asked = _updated_since(since.asked, now, one.target > 0)
        since.running = _updated_since(since.running, now, one.target > 0 and one.running > 0)
        since.surplus = _updated_since(since.surplus, now, need < one.target)
        since.idle = _updated_since(since.idle, now, one.target > 0 and _job_count(one) == 0)

    def _allocate_minimum(
        self, now: float, deal: _Allocation, seen: Mapping[str, GeneratorLoad]
    ) -> bool:
        """One replica for each who has work, or its turn; whether somebody waits for room."""
        seated = [name for name in seen if seen[name].target > 0 and self._is_busy(now, name, seen)]
        # Where there are fewer GPUs than before, those go first who have been there longest.
        for name in sorted(seated, key=lambda name: self._turn_overrun(now, name, seen)):
            deal.allocate(name, 1)
        starved = {
            name: since.starved
            for name, since in self._timestamps.items()
            if since.starved is not None
        }
        for name in sorted(starved, key=lambda name: starved[name]):
            over = [other for other in seated if self._turn_overrun(now, other, seen) >= 0]
            over = [other for other in over if deal.can_remove(other)]
            over.sort(key=lambda other: self._turn_overrun(now, other, seen))
            if not deal.make_room(name, over):
                return True
            deal.allocate(name, 1)
        return False

    def _is_busy(self, now: float, name: str, seen: Mapping[str, GeneratorLoad]) -> bool:
        """Whether a generator has work, or ran out of it only just now."""
        idle = self._timestamps[name].idle
        return idle is None or now - idle < seen[name].load_s

    def _turn_overrun(self, now: float, name: str, seen: Mapping[str, GeneratorLoad]) -> float:
        """Seconds since a seated generator's turn ended; negative while it lasts."""
        one, since, rules = seen[name], self._timestamps[name], self._rules
        if _job_count(one) == 0:
            return math.inf
        if since.running is None:
            asked = now if since.asked is None else since.asked
            return now - asked - max(rules.patience_s, 5 * one.load_s)
        return now - since.running - self._turn_seconds(name, seen)

    def _turn_seconds(self, name: str, seen: Mapping[str, GeneratorLoad]) -> float:
        rules = self._rules
        base = seen[name].load_s * (1 - rules.overhead) / rules.overhead
        base = min(max(base, rules.shortest_turn_s), rules.longest_turn_s)
        work = {other: _work_seconds(one) for other, one in seen.items() if _work_seconds(one) > 0}
        part = work.get(name, 0.0) / sum(work.values()) * len(work) if work else 1.0
        return base * min(max(part, 1.0), LONGER_TURNS)


def _allocate_rest(
    deal: _Allocation, seen: Mapping[str, GeneratorLoad], needs: Mapping[str, int], reserved: bool
) -> None:
    """What is left goes where it helps most; while room is ``reserved`` nothing new starts."""

    def able(name: str) -> bool:
        most = min(needs[name], seen[name].target) if reserved else needs[name]
        return 0 < deal.allocated[name] < most and deal.fits(name)

    def pressure(name: str) -> float:
        given = deal.allocated[name]
        longer = RETAINED if given < seen[name].target else 1.0
        return longer * _work_seconds(seen[name]) / (given * deal.terms[name].concurrency)

    while candidates := [name for name in deal.allocated if able(name)]:
        name = max(candidates, key=pressure)
        deal.allocate(name, deal.allocated[name] + 1)


class _Allocation:
    """The GPUs while they are dealt."""

    def __init__(self, terms: Mapping[str, GeneratorLimits], gpus: int) -> None:
        self.terms, self._gpus = terms, gpus
        self.allocated = dict.fromkeys(terms, 0)

    def fits(self, name: str) -> bool:
        """Whether one more of ``name`` finds room."""
        shares = [
            self.terms[other].gpu_share
            for other, given in self.allocated.items()
            for _ in range(given)
        ]
        return pack([*shares, self.terms[name].gpu_share], self._gpus)

    def allocate(self, name: str, replicas: int) -> None:
        """Up to ``replicas`` in all, as far as the GPUs go."""
        while self.allocated[name] < replicas and self.fits(name):
            self.allocated[name] += 1

    def can_remove(self, name: str) -> bool:
        return self.allocated[name] > self.terms[name].min_replicas

    def make_room(self, name: str, over: list[str]) -> bool:
        """Take replicas away from ``over``, its last first, until ``name`` fits; none if all of
        them would not do."""
        before = dict(self.allocated)
        for other in reversed(over):
            if self.fits(name):
                return True
            self.allocated[other] -= 1
        if self.fits(name):
            return True
        self.allocated = before
        return False


def pack(shares: Iterable[float], gpus: int) -> bool:
    """Whether the shares fit onto so many GPUs: the largest first, each where it first fits.

    A share of more than 1 takes whole GPUs. Ray may have placed running replicas less well; then
    a replica waits until one of them goes.
    """
    free = [1.0] * gpus
    for share in sorted(shares, reverse=True):
        whole, part = divmod(share, 1.0) if share > 1 else (0.0, share)
        for _ in range(round(whole)):
            if 1.0 not in free:
                return False
            free.remove(1.0)
        if part < EPSILON:
            continue
        for index, left in enumerate(free):
            if part <= left + EPSILON:
                free[index] = left - part
                break
        else:
            return False
    return True


def _updated_since(since: float | None, now: float, true: bool) -> float | None:
    if not true:
        return None
    return now if since is None else since


def _job_count(one: GeneratorLoad) -> int:
    return one.waiting + one.active


def _work_seconds(one: GeneratorLoad) -> float:
    """Seconds of work queued or at hand."""
    return _job_count(one) * one.job_s
