"""Whose calls go next: order, the bound on waiting, fairness between groups, the row cap."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.diffusion.batching.call import Call
from models.diffusion.batching.fair_queue import MAX_SKIPPED, QUANTUM_S, FairQueue

ROW = torch.zeros(1, 2)


def network(*_: object) -> None: ...


def other_network(*_: object) -> None: ...


class Queue:
    """What the engine keeps: calls numbered as they come, which leave when they are chosen."""

    def __init__(self) -> None:
        self.turns = FairQueue()
        self.waiting: list[Call] = []
        self._count = 0

    def add(
        self,
        to: Any = network,
        *,
        priority: int = 0,
        left: int = 1,
        rows: int = 1,
        flow: str = "",
    ) -> Call:
        self._count += 1
        call = Call(to, (ROW.expand(rows, 2),), {}, rows, None, priority, left, flow=flow)
        call.sequence = self._count
        self.waiting.append(call)
        return call

    def choose(self, most_rows: int) -> list[Call]:
        chosen = self.turns.next_batch(self.waiting, lambda *_: most_rows)
        self.waiting = [call for call in self.waiting if call not in chosen]
        return chosen


def test_priority_goes_first_then_the_fewest_steps_left_then_who_came_first() -> None:
    queue = Queue()
    late = queue.add(left=9)
    early = queue.add(left=9)
    short = queue.add(left=2)
    urgent = queue.add(priority=5, left=30)
    assert queue.choose(64) == [urgent, short, late, early]


def test_a_call_passed_over_as_often_as_allowed_goes_before_every_other() -> None:
    queue = Queue()
    long = queue.add(left=60, priority=-1)
    for _ in range(MAX_SKIPPED):
        queue.add(left=1, priority=9)
        assert queue.choose(1) != [long]
    queue.add(left=1, priority=9)
    assert queue.choose(1) == [long]


@dataclass(frozen=True)
class Arrival:
    priority: int
    left: int
    rows: int


ARRIVAL = st.builds(Arrival, st.integers(-2, 2), st.integers(1, 50), st.integers(1, 3))
ROUNDS = st.lists(st.lists(ARRIVAL, max_size=3), min_size=1, max_size=40)


@given(ROUNDS, st.integers(1, 8))
def test_no_call_waits_longer_than_the_stated_bound(
    rounds: list[list[Arrival]], most_rows: int
) -> None:
    """``MAX_SKIPPED`` batches of others, and at most one for each call that was there before it."""
    queue = Queue()
    bound: dict[int, int] = {}
    waited: Counter[int] = Counter()

    def batch() -> None:
        chosen = queue.choose(most_rows)
        for call in chosen:
            assert waited[call.sequence] <= bound[call.sequence]
        waited.update(call.sequence for call in queue.waiting)

    for arrivals in rounds:
        for one in arrivals:
            before = len(queue.waiting)
            call = queue.add(priority=one.priority, left=one.left, rows=one.rows)
            bound[call.sequence] = MAX_SKIPPED + before
        if queue.waiting:
            batch()
    for _ in range(len(bound)):
        if queue.waiting:
            batch()
    assert not queue.waiting


@given(
    st.lists(st.tuples(st.sampled_from([network, other_network]), st.integers(1, 6)), min_size=1),
    st.integers(1, 10),
)
def test_a_batch_is_of_one_group_and_within_its_rows_unless_it_is_one_call(
    calls: list[tuple[object, int]], most_rows: int
) -> None:
    queue = Queue()
    for to, rows in calls:
        queue.add(to, rows=rows)
    while queue.waiting:
        left = list(queue.waiting)
        chosen = queue.choose(most_rows)
        assert chosen
        assert len({call.group for call in chosen}) == 1
        assert sum(call.rows for call in chosen) <= most_rows or len(chosen) == 1
        # Nobody who would have fitted as the next in line was left behind.
        behind = [call for call in left if call.group == chosen[0].group and call not in chosen]
        if behind:
            assert sum(call.rows for call in chosen) + behind[0].rows > most_rows


def served(queue: Queue, batches: int, seconds: dict[object, float]) -> dict[object, float]:
    """Each group always has a call waiting; the time each got in so many batches."""
    time: dict[object, float] = dict.fromkeys(seconds, 0.0)
    for _ in range(batches):
        for to in seconds:
            if not any(call.network is to for call in queue.waiting):
                queue.add(to)
        (call,) = queue.choose(1)
        queue.turns.charge([call], seconds[call.network])
        time[call.network] += seconds[call.network]
    return time


def test_groups_get_the_same_computing_time_whatever_their_batches_cost() -> None:
    time = served(Queue(), 60, {network: 3.0, other_network: 0.5})
    assert abs(time[network] - time[other_network]) <= 3.0


def test_a_group_that_was_idle_has_earned_no_credit() -> None:
    queue = Queue()
    served(queue, 50, {network: 2.0})
    time = served(queue, 20, {network: 2.0, other_network: 2.0})
    assert abs(time[network] - time[other_network]) <= 2.0


def test_calls_that_can_share_no_batch_leave_the_others_their_part() -> None:
    """Each is alone in its batch, but they are one group: ten such requests take half the time."""
    queue = Queue()
    time = Counter[str]()
    for _ in range(40):
        while len(queue.waiting) < 10:
            queue.add(other_network).may_share_batch = False
        if not any(call.may_share_batch for call in queue.waiting):
            queue.add(network)
        (call,) = queue.choose(1)
        queue.turns.charge([call], 1.0)
        time["shared" if call.may_share_batch else "alone"] += 1
    assert time["shared"] == time["alone"] == 20


# Flows (users).


def test_a_flow_with_one_call_goes_in_the_next_batch_beside_a_flow_with_a_hundred() -> None:
    queue = Queue()
    for _ in range(100):
        queue.add(flow="many")
    queue.turns.charge(queue.choose(4), 1.0)
    one = queue.add(flow="one")
    assert one in queue.choose(4)


def test_the_rows_of_a_batch_are_given_to_flows_in_turns() -> None:
    queue = Queue()
    for flow in ("ann", "ben"):
        for _ in range(9):
            queue.add(flow=flow)
    flows = Counter[str]()
    for _ in range(3):
        flows.update(call.flow for call in queue.choose(4))
    assert flows == {"ann": 6, "ben": 6}


def test_flows_get_the_same_computing_time_whatever_their_calls_cost() -> None:
    queue, time = Queue(), Counter[str]()
    seconds = {"short": 0.5, "long": 3.0}
    for _ in range(70):
        for flow in seconds:
            if not any(call.flow == flow for call in queue.waiting):
                queue.add(flow=flow)
        (call,) = queue.choose(1)
        queue.turns.charge([call], seconds[call.flow])
        time[call.flow] += seconds[call.flow]
    assert abs(time["short"] - time["long"]) <= QUANTUM_S + max(seconds.values())


def test_many_kinds_of_requests_of_one_flow_do_not_take_the_time_of_another() -> None:
    queue, time = Queue(), Counter[str]()
    kinds = [lambda *_, kind=kind: None for kind in range(9)]
    for _ in range(100):
        if not any(call.flow == "ann" for call in queue.waiting):
            queue.add(flow="ann")
        for kind in kinds:
            if not any(call.network is kind for call in queue.waiting):
                queue.add(kind, flow="ben")
        (call,) = queue.choose(1)
        queue.turns.charge([call], 1.0)
        time[call.flow] += 1.0
    assert abs(time["ann"] - time["ben"]) <= 2.0


def test_of_flows_that_had_about_as_much_the_shortest_request_goes_first() -> None:
    queue = Queue()
    long, short = queue.add(flow="ann", left=40), queue.add(flow="ben", left=6)
    assert queue.choose(1) == [short]
    queue.turns.charge([short], QUANTUM_S / 2)
    queue.add(flow="ben", left=5)
    assert queue.choose(1) != [long]
    queue.turns.charge([short], QUANTUM_S)
    queue.add(flow="ben", left=1)
    assert queue.choose(1) == [long], "short ones do not go first for ever"


@dataclass(frozen=True)
class Asked:
    """A call of one of a few flows, to one of two networks."""

    flow: str
    left: int
    rows: int
    to: object


ASKED = st.builds(
    Asked,
    st.sampled_from("abcd"),
    st.integers(1, 50),
    st.integers(1, 3),
    st.sampled_from([network, other_network]),
)
BATCH_SECONDS = st.floats(0.01, 2.0)


@given(
    st.lists(st.tuples(st.lists(ASKED, max_size=4), BATCH_SECONDS), min_size=1, max_size=60),
    st.integers(1, 6),
)
def test_no_flow_waits_longer_than_the_stated_bound(
    rounds: list[tuple[list[Asked], float]], most_rows: int
) -> None:
    """Others lead with at most ``QUANTUM_S`` of their own computing, and one batch, each."""
    queue, largest = Queue(), 0.0
    ahead: dict[str, float] = {}  # of flows that wait: their seconds when that began
    led: dict[str, Counter[str]] = {}  # and the seconds that others have led with since
    for asked, seconds in [*rounds, *[([], 0.5)] * 4 * len(rounds)]:
        for one in asked:
            if one.flow not in led:
                ahead[one.flow], led[one.flow] = queue.turns._flows.lead(one.flow), Counter()
            queue.add(one.to, left=one.left, rows=one.rows, flow=one.flow)
        if not queue.waiting:
            continue
        chosen = queue.choose(most_rows)
        queue.turns.charge(chosen, seconds)
        leading, rows = chosen[0].flow, Counter[str]()
        for call in chosen:
            rows[call.flow] += call.rows
        own = seconds * rows[leading] / rows.total()
        largest = max(largest, own)
        for flow in rows:
            del led[flow]
            if any(call.flow == flow for call in queue.waiting):
                ahead[flow], led[flow] = queue.turns._flows.lead(flow), Counter()
        for flow, others in led.items():
            if flow not in rows:
                others[leading] += own
                assert others[leading] <= ahead[flow] + QUANTUM_S + largest + 1e-9
    assert not queue.waiting


def test_an_endless_row_of_newcomers_does_not_overtake_who_waits() -> None:
    """One of them always waits, so that the least of those who wait never rises."""
    queue = Queue()
    queue.add(other_network, flow="ann", left=30)
    queue.turns.charge(queue.choose(1), 1.0)
    waiting = queue.add(other_network, flow="ann", left=30)
    queue.add(flow="newcomer 0", left=12)
    for number in range(1, 400):
        queue.add(flow=f"newcomer {number}", left=12)
        chosen = queue.choose(1)
        if waiting in chosen:
            break
        queue.turns.charge(chosen, 0.05)
    assert waiting in chosen
    assert len(queue.turns._flows._served) < 100, "who has gone is forgotten"
