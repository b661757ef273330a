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
class Terms:
    """What holds for one generator: the ``share`` of a GPU that a replica takes, how many jobs it
    runs at a time, and the least and most replicas that operators allow."""

    share: float
    concurrency: int = 1
    least: int = 0
    most: int = 1


@dataclass(frozen=True)
class Seen:
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
class _Since:
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
        self._since: dict[str, _Since] = defaultdict(_Since)

    def plan(
        self, now: float, gpus: int, terms: Mapping[str, Terms], seen: Mapping[str, Seen]
    ) -> dict[str, int]:
        """The replicas to ask for; together they fit onto ``gpus`` GPUs.

        ``terms`` and ``seen`` have the same generators; ``now`` is of a clock that never goes back.
        """
        needs = {name: self._need(terms[name], one) for name, one in seen.items()}
        for name, one in seen.items():
            self._remember(now, name, one, needs[name])
        deal = _Deal(terms, gpus)
        for name in terms:
            deal.give(name, terms[name].least)
        reserved = self._seats(now, deal, seen)
        _more(deal, seen, needs, reserved)
        for name, one in seen.items():
            deal.give(name, min(self._kept(now, name, one), terms[name].most))
        return deal.given

    def _need(self, terms: Terms, one: Seen) -> int:
        """Replicas that the queue calls for, were there no others."""
        jobs = _jobs(one)
        within = terms.concurrency * max(self._rules.drain_s, one.load_s)
        wanted = max(math.ceil(jobs * one.job_s / within), min(jobs, 1))
        need = min(wanted, math.ceil(jobs / terms.concurrency))
        return min(max(need, terms.least), terms.most)

    def _kept(self, now: float, name: str, one: Seen) -> int:
        """Replicas to keep though the queue does not call for them, where nobody else does."""
        surplus, rules = self._since[name].surplus, self._rules
        if surplus is None or now - surplus >= rules.idle_s:
            return 0
        return one.target if now - surplus < rules.settle_s else 1

    def _remember(self, now: float, name: str, one: Seen, need: int) -> None:
        since = self._since[name]
        since.starved = _since(since.starved, now, one.target == 0 and one.waiting > 0)
        since.asked = _since(since.asked, now, one.target > 0)
        since.running = _since(since.running, now, one.target > 0 and one.running > 0)
        since.surplus = _since(since.surplus, now, need < one.target)
        since.idle = _since(since.idle, now, one.target > 0 and _jobs(one) == 0)

    def _seats(self, now: float, deal: _Deal, seen: Mapping[str, Seen]) -> bool:
        """One replica for each who has work, or its turn; whether somebody waits for room."""
        seated = [name for name in seen if seen[name].target > 0 and self._stays(now, name, seen)]
        # Where there are fewer GPUs than before, those go first who have been there longest.
        for name in sorted(seated, key=lambda name: self._over_for(now, name, seen)):
            deal.give(name, 1)
        starved = {
            name: since.starved for name, since in self._since.items() if since.starved is not None
        }
        for name in sorted(starved, key=lambda name: starved[name]):
            over = [other for other in seated if self._over_for(now, other, seen) >= 0]
            over = [other for other in over if deal.may_leave(other)]
            over.sort(key=lambda other: self._over_for(now, other, seen))
            if not deal.make_room(name, over):
                return True
            deal.give(name, 1)
        return False

    def _stays(self, now: float, name: str, seen: Mapping[str, Seen]) -> bool:
        """Whether a generator has work, or ran out of it only just now."""
        idle = self._since[name].idle
        return idle is None or now - idle < seen[name].load_s

    def _over_for(self, now: float, name: str, seen: Mapping[str, Seen]) -> float:
        """Seconds since a seated generator's turn ended; negative while it lasts."""
        one, since, rules = seen[name], self._since[name], self._rules
        if _jobs(one) == 0:
            return math.inf
        if since.running is None:
            asked = now if since.asked is None else since.asked
            return now - asked - max(rules.patience_s, 5 * one.load_s)
        return now - since.running - self._turn(name, seen)

    def _turn(self, name: str, seen: Mapping[str, Seen]) -> float:
        rules = self._rules
        base = seen[name].load_s * (1 - rules.overhead) / rules.overhead
        base = min(max(base, rules.shortest_turn_s), rules.longest_turn_s)
        work = {other: _work(one) for other, one in seen.items() if _work(one) > 0}
        part = work.get(name, 0.0) / sum(work.values()) * len(work) if work else 1.0
        return base * min(max(part, 1.0), LONGER_TURNS)


def _more(deal: _Deal, seen: Mapping[str, Seen], needs: Mapping[str, int], reserved: bool) -> None:
    """What is left goes where it helps most; while room is ``reserved`` nothing new starts."""

    def able(name: str) -> bool:
        most = min(needs[name], seen[name].target) if reserved else needs[name]
        return 0 < deal.given[name] < most and deal.fits(name)

    def pressure(name: str) -> float:
        given = deal.given[name]
        longer = RETAINED if given < seen[name].target else 1.0
        return longer * _work(seen[name]) / (given * deal.terms[name].concurrency)

    while candidates := [name for name in deal.given if able(name)]:
        name = max(candidates, key=pressure)
        deal.give(name, deal.given[name] + 1)


class _Deal:
    """The GPUs while they are dealt."""

    def __init__(self, terms: Mapping[str, Terms], gpus: int) -> None:
        self.terms, self._gpus = terms, gpus
        self.given = dict.fromkeys(terms, 0)

    def fits(self, name: str) -> bool:
        """Whether one more of ``name`` finds room."""
        shares = [
            self.terms[other].share for other, given in self.given.items() for _ in range(given)
        ]
        return pack([*shares, self.terms[name].share], self._gpus)

    def give(self, name: str, replicas: int) -> None:
        """Up to ``replicas`` in all, as far as the GPUs go."""
        while self.given[name] < replicas and self.fits(name):
            self.given[name] += 1

    def may_leave(self, name: str) -> bool:
        return self.given[name] > self.terms[name].least

    def make_room(self, name: str, over: list[str]) -> bool:
        """Take replicas away from ``over``, its last first, until ``name`` fits; none if all of
        them would not do."""
        before = dict(self.given)
        for other in reversed(over):
            if self.fits(name):
                return True
            self.given[other] -= 1
        if self.fits(name):
            return True
        self.given = before
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


def _since(since: float | None, now: float, true: bool) -> float | None:
    if not true:
        return None
    return now if since is None else since


def _jobs(one: Seen) -> int:
    return one.waiting + one.active


def _work(one: Seen) -> float:
    """Seconds of work queued or at hand."""
    return _jobs(one) * one.job_s
