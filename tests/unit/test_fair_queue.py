"""Whose job is next: shares by weight, first come first served within a flow, nobody starves."""

from collections import Counter
from itertools import combinations
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import fair_share
from billing.plans import DEFAULT, PLANS
from tests.support.fair_sharing import Arrival, TagQueue, lags

FREE, STARTER, PRO = DEFAULT, PLANS["starter"], PLANS["pro"]
CALLERS = 32

A_PLAN = st.sampled_from([FREE, STARTER, PRO])
SOME_PLANS = st.lists(A_PLAN, min_size=2, max_size=6)


def bursts(users: int, latest: float) -> st.SearchStrategy[list[Arrival]]:
    """Up to ten equal jobs of a user at once, again and again."""
    burst = st.builds(
        lambda at, user, credits, count: [Arrival(at, user, credits)] * count,
        st.sampled_from([0.0, 0.1 * latest, 0.3 * latest, latest]),
        st.integers(0, users - 1),
        st.sampled_from([1, 2, 7, 40]),
        st.integers(1, 10),
    )
    return st.lists(burst, min_size=2, max_size=7).map(
        lambda some: sorted((job for jobs in some for job in jobs), key=lambda job: job.at)
    )


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_nobody_is_further_from_the_ideal_than_the_largest_job_of_each_user(
    data: st.DataObject,
) -> None:
    """The ideal serves all who wait at once, by weight. Behind it or before it, at any moment."""
    plans = data.draw(SOME_PLANS)
    arrivals = data.draw(bursts(len(plans), latest=100.0))
    largest: Counter[int] = Counter()
    for job in arrivals:
        largest[job.user] = max(largest[job.user], job.credits)
    for least, most in lags(arrivals, plans).values():
        assert -largest.total() <= least <= most <= largest.total()


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_while_two_users_wait_their_shares_differ_by_at_most_a_job_of_each(
    data: st.DataObject,
) -> None:
    """In started work by weight, however many jobs run at once and however long each takes."""
    plans = data.draw(SOME_PLANS)
    arrivals = data.draw(bursts(len(plans), latest=0.0))
    weights = [plan.queue_weight for plan in plans]
    queue = TagQueue(plans)
    for job in arrivals:
        queue.submit(job)
    largest: Counter[int] = Counter()
    for job in arrivals:
        largest[job.user] = max(largest[job.user], job.credits)
    started: Counter[int] = Counter()
    left = Counter(job.user for job in arrivals)
    while queue.waiting:
        job = queue.start()
        started[job.user] += job.credits
        left[job.user] -= 1
        for one, other in combinations([user for user in left if left[user] > 0], 2):
            apart = abs(started[one] / weights[one] - started[other] / weights[other])
            assert apart <= largest[one] / weights[one] + largest[other] / weights[other]


@settings(deadline=None)
@given(st.data())
def test_jobs_of_a_flow_start_in_the_order_of_their_submits(data: st.DataObject) -> None:
    queue = TagQueue([FREE, PRO])
    submitted: list[Arrival] = []
    started: list[Arrival] = []
    for step in data.draw(st.lists(st.booleans(), max_size=60)):
        if step or not queue.waiting:
            job = Arrival(
                len(submitted),
                data.draw(st.integers(0, 1)),
                data.draw(st.integers(1, 50)),
                data.draw(st.sampled_from(["high", "normal", "low"])),
            )
            submitted.append(job)
            queue.submit(job)
        else:
            started.append(queue.start())
    while queue.waiting:
        started.append(queue.start())
    for user in (0, 1):
        for priority in ("high", "normal", "low"):
            flow = [job for job in submitted if (job.user, job.priority) == (user, priority)]
            assert [job for job in started if (job.user, job.priority) == (user, priority)] == flow


def test_one_job_starts_before_the_next_of_a_thousand() -> None:
    queue = TagQueue([FREE, FREE])
    for _ in range(1000):
        queue.submit(Arrival(0, 0, 2))
    for _ in range(100):
        queue.start()
    queue.submit(Arrival(0, 1, 2))
    assert queue.start().user == 1


@pytest.mark.parametrize(("plan", "share"), [(STARTER, 2), (PRO, 4)])
def test_work_is_shared_by_the_weights_of_plans(plan: object, share: int) -> None:
    queue = TagQueue([FREE, plan])  # type: ignore[list-item]
    for _ in range(1000):
        queue.submit(Arrival(0, 0, 3))
        queue.submit(Arrival(0, 1, 3))
    done = Counter(queue.start().user for _ in range(1000))
    assert done[1] / done[0] == pytest.approx(share, rel=0.05)


def test_small_jobs_and_large_ones_get_the_same_share_of_work() -> None:
    queue = TagQueue([FREE, FREE])
    for _ in range(1000):
        queue.submit(Arrival(0, 0, 1))
        queue.submit(Arrival(0, 1, 20))
    work: Counter[int] = Counter()
    for _ in range(1050):
        job = queue.start()
        work[job.user] += job.credits
    assert work[0] == pytest.approx(work[1], rel=0.05)


def test_low_is_slow_and_never_starves() -> None:
    """Another user comes with a normal job whenever one starts, so that ten always wait."""
    queue = TagQueue([FREE] * 10_000)
    for user in range(10):
        queue.submit(Arrival(0, user, 1))
    queue.submit(Arrival(0, 9_999, 1, "low"))
    before = 0
    while queue.start().priority != "low":
        before += 1
        queue.submit(Arrival(0, 9 + before, 1))
    assert 10 < before <= 5 * 10, "a normal one would start behind ten"


def test_high_goes_before_the_normal_jobs_of_its_own_user() -> None:
    queue = TagQueue([FREE])
    for _ in range(50):
        queue.submit(Arrival(0, 0, 4))
    queue.start()
    queue.submit(Arrival(0, 0, 4, "high"))
    assert queue.start().priority == "high"


def test_whoever_was_away_earns_no_credit() -> None:
    queue = TagQueue([FREE, FREE])
    for _ in range(100):
        queue.submit(Arrival(0, 0, 1))
    for _ in range(90):
        queue.start()
    for _ in range(10):
        queue.submit(Arrival(0, 1, 1))
    assert Counter(queue.start().user for _ in range(10)) == {0: 5, 1: 5}


@pytest.mark.parametrize("users", [1, 4, CALLERS])
def test_callers_who_wait_for_each_answer_wait_about_equally_long(users: int) -> None:
    """A closed loop; waits are counted in the jobs that start meanwhile."""
    queue = TagQueue([FREE] * users)
    waits: list[int] = []
    submitted_at: dict[Arrival, int] = {}
    started = 0
    for caller in range(CALLERS):
        queue.submit(Arrival(caller, caller % users, 2))
    while started < 2000:
        job = queue.start()
        if job in submitted_at:
            waits.append(started - submitted_at[job])
        started += 1
        again = Arrival(CALLERS + started, job.user, 2)
        submitted_at[again] = started
        queue.submit(again)
    assert max(waits) <= 3 * median(waits)


def test_the_cost_of_a_job_is_its_price_by_the_weights_of_plan_and_priority() -> None:
    normal = fair_share.cost(3, FREE, "normal")
    assert normal == 3 * fair_share.TICKS_PER_CREDIT
    assert fair_share.cost(3, PRO, "normal") * 4 == normal
    assert fair_share.cost(3, FREE, "high") * 4 == normal
    assert fair_share.cost(3, FREE, "low") == normal * 4
    assert fair_share.cost(0, PRO, "high") == 2, "what costs nothing has its turns too"
