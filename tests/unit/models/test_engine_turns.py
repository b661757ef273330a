"""Whose calls go next: order, the bound on waiting, fairness between groups, the row cap."""

from collections import Counter
from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.diffusion.batching.call import Call
from models.diffusion.batching.fair_queue import MAX_SKIPPED, FairQueue

ROW = torch.zeros(1, 2)


def network(*_: object) -> None: ...


def other_network(*_: object) -> None: ...


class Queue:
    """What the engine keeps: calls numbered as they come, which leave when they are chosen."""

    def __init__(self) -> None:
        self.turns = FairQueue()
        self.waiting: list[Call] = []
        self._count = 0

    def add(self, to: object = network, *, priority: int = 0, left: int = 1, rows: int = 1) -> Call:
        self._count += 1
        call = Call(to, (ROW.expand(rows, 2),), {}, rows, None, priority, left)  # type: ignore[arg-type]
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
        queue.turns.charge(call.group, seconds[call.network])
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
        queue.turns.charge(call.group, 1.0)
        time["shared" if call.may_share_batch else "alone"] += 1
    assert time["shared"] == time["alone"] == 20
