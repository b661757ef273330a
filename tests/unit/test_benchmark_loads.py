"""The arithmetic of the benchmarks that compare servers."""

import time
from itertools import pairwise
from threading import Barrier

import pytest

from benchmarks.loads import (
    LONG,
    PATIENCE,
    SHORT,
    Answered,
    Refused,
    Wanted,
    as_people_come,
    at_a_time,
    jain_index,
    mixed,
    of_three_users,
    pace_by_user,
    poisson_arrivals,
    share_in_time,
    speed,
)

LENGTH = {SHORT: 0.1, LONG: 0.5}


def alone_s(wanted: Wanted) -> float:
    return LENGTH[wanted.steps]


def answered(steps: int, seconds: float | None, user: int = 0) -> Answered:
    return Answered(Wanted("a red circle", 1, steps, 3.0, user=user), seconds)


@pytest.mark.parametrize(
    ("values", "index"),
    [([1.0, 1.0, 1.0], 1.0), ([1.0, 0.0, 0.0, 0.0], 0.25), ([1.0, 3.0], 0.8), ([0.0, 0.0], 1.0)],
)
def test_jains_index_is_one_for_equals_and_one_of_n_where_one_has_all(
    values: list[float], index: float
) -> None:
    assert jain_index(values) == pytest.approx(index)


def test_speed_has_the_median_and_the_95th_percentile() -> None:
    found = speed([float(second) for second in range(100, 0, -1)], wall=50.0)
    assert (found.images_per_s, found.p50_s, found.p95_s) == (2.0, 50.5, 95.0)


def test_the_share_in_time_measures_each_request_by_its_own_time_alone() -> None:
    just, late = PATIENCE * LENGTH[SHORT], PATIENCE * LENGTH[SHORT] + 0.01
    answers = [answered(SHORT, just), answered(SHORT, late), answered(LONG, late)]
    assert share_in_time(answers, alone_s) == pytest.approx(2 / 3)


def test_a_refused_request_is_late_and_gives_its_user_nothing() -> None:
    answers = [answered(SHORT, None, user=1), answered(SHORT, 0.2, user=1), answered(LONG, 0.5)]
    assert share_in_time(answers, alone_s) == pytest.approx(2 / 3)
    assert pace_by_user(answers, alone_s) == {1: pytest.approx(0.25), 0: pytest.approx(1.0)}


def test_poisson_arrivals_come_in_order_at_the_wanted_rate_and_in_bursts() -> None:
    arrivals = poisson_arrivals(4000, per_s=8.0, seed=3)
    gaps = [after - before for before, after in pairwise([0.0, *arrivals])]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert min(gaps) >= 0
    assert mean == pytest.approx(1 / 8, rel=0.05)
    assert variance == pytest.approx(mean**2, rel=0.1)  # of an exponential distribution
    assert arrivals == poisson_arrivals(4000, per_s=8.0, seed=3)


def test_the_three_users_want_the_same_number_of_steps() -> None:
    requests = of_three_users(3000, seed=5)
    steps = [sum(w.steps for w in requests if w.user == user) for user in range(3)]
    assert max(steps) / min(steps) < 1.2
    assert {w.user for w in requests if w.steps == LONG} == {0}


def test_people_do_not_wait_for_each_other_and_refusals_are_kept() -> None:
    class Together:
        """Answers when all three are there, and so never to callers in turn."""

        name = "together"
        there = Barrier(3)

        def draw(self, wanted: Wanted) -> None:
            self.there.wait(timeout=60)
            if wanted.user == 2:
                raise Refused("503")

    requests = [Wanted("a red circle", 1, SHORT, 3.0, user=user) for user in range(3)]
    answers = as_people_come(Together(), requests, [0.0, 0.0, 0.01])
    assert [answer.wanted.user for answer in answers] == [0, 1, 2]
    assert [answer.seconds is None for answer in answers] == [False, False, True]


def test_callers_send_their_next_request_when_the_last_is_answered() -> None:
    class Counting:
        name = "counting"
        now = most = 0

        def draw(self, wanted: Wanted) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            time.sleep(0.002)
            self.now -= 1

    server = Counting()
    found = at_a_time(server, mixed(12, seed=1), count=1)
    assert server.most == 1
    assert found.p50_s >= 0.002
