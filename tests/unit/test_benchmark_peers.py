"""How systems take turns in ``benchmarks.peers``, and how their answers are summed up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.loads import LONG, SHORT, Answered, Refused, Server, Speed, Wanted
from benchmarks.peers.__main__ import Amount, Closed, Open, Results, compare, judged, ratios
from benchmarks.peers.atelier import Atelier

ALONE_S = {SHORT: 0.1, LONG: 0.5}
FEW = Amount(rounds=2, per_caller=1, fewest=2, arrivals=6)


def answered(steps: int, seconds: float | None, user: int) -> Answered:
    return Answered(Wanted("a red circle", 1, steps, 3.0, user=user), seconds)


def test_answers_are_judged_from_the_first_arrival_to_the_last_answer() -> None:
    answers = [answered(SHORT, 0.1, 0), answered(LONG, 1.0, 1), answered(SHORT, None, 2)]
    one = judged(answers, [0.0, 1.0, 1.5], ALONE_S)
    assert one.speed.images_per_s == pytest.approx(2 / 2.0)
    assert (one.in_time, one.refused) == (pytest.approx(2 / 3), 1)
    assert one.jain == pytest.approx((1 + 0.5) ** 2 / (3 * (1 + 0.25)))


def results(**images_per_s: float) -> Results:
    arrivals = {
        name: {"110%": Open(Speed(1.0, 1.0, 1.0), rate / 10, 1.0, 0)}
        for name, rate in images_per_s.items()
    }
    closed = {
        name: Closed(dict.fromkeys((1, 4, 16, 32), Speed(rate, 1 / rate, 2 / rate)), ALONE_S, rate)
        for name, rate in images_per_s.items()
    }
    return Results(closed, 1.0, ALONE_S, arrivals, "a machine")


def test_ratios_compare_with_the_best_peer() -> None:
    found = ratios(results(**{Atelier.name: 6.0, "slow": 1.0, "quick": 4.0}))
    assert found["images_vs_best_peer_16"] == pytest.approx(1.5)
    assert found["p95_vs_best_peer_16"] == pytest.approx(4 / 6)
    assert found["in_time_minus_best_peer_110%"] == pytest.approx(0.2)


class Sleepy:
    """A system that takes the same time for every picture, any number at once."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self._seconds, self._log = name, seconds, log

    def missing(self) -> None:
        return None

    @contextmanager
    def running(self) -> Iterator[Server]:
        self._log.append(self.name)
        yield self

    def draw(self, wanted: Wanted) -> bytes:
        time.sleep(self._seconds)
        return b""


def test_systems_take_turns_in_alternating_order_and_peers_alone_set_the_load() -> None:
    log: list[str] = []
    found = compare([Sleepy("peer", 0.02, log), Sleepy(Atelier.name, 0.001, log)], FEW)
    there, back = ["peer", Atelier.name], [Atelier.name, "peer"]
    assert log == [*there, *back, *there, *back]  # callers, then arrivals; two rounds each
    assert found.capacity == found.closed["peer"].capacity
    assert found.alone_s[SHORT] == found.closed[Atelier.name].alone_s[SHORT]
    assert set(found.arrivals["peer"]) == {"70%", "90%", "110%"}


def test_a_server_that_answers_nothing_ends_the_measurement() -> None:
    class Broken(Sleepy):
        def draw(self, wanted: Wanted) -> bytes:
            raise Refused("503")

    with pytest.raises(Refused, match="answered none"):
        compare([Broken("peer", 0.0, [])], FEW)
