"""How many rows pay, learned from batches whose cost is known."""

from collections.abc import Callable

import pytest

from models.diffusion.batching.cost import MAX_ROWS, BatchCost, BatchCosts

Seconds = Callable[[int], float]
CHEAP: Seconds = lambda rows: 0.010  # noqa: E731  # as dear for many rows as for one
FULL: Seconds = lambda rows: 0.010 * rows  # noqa: E731  # the device is full with one row


class Learning:
    """Batches of calls of ``rows`` each, which take ``seconds(rows)``."""

    def __init__(self, seconds: Seconds, rows: int = 1, max_rows: int = MAX_ROWS) -> None:
        self.costs, self.rows = BatchCosts(max_rows), rows
        self.seconds = seconds
        self.sizes: list[int] = []  # of each batch

    def batches(self, count: int, waiting: int) -> int:
        """Compute so many while ``waiting`` rows are there; the size of the last."""
        for _ in range(count):
            room = min(self.costs.room("net", self.rows, waiting), waiting)
            size = room // self.rows * self.rows
            self.sizes.append(size)
            if self.costs.wants("net", size):
                self.costs.record("net", size, self.seconds(size))
        return self.sizes[-1]

    @property
    def known(self) -> BatchCost:
        (cost,) = self.costs.known()
        return cost


def test_a_network_as_dear_for_many_rows_as_for_one_gets_all_that_wait() -> None:
    learning = Learning(CHEAP)
    assert learning.batches(40, waiting=100) == MAX_ROWS
    assert learning.sizes == sorted(learning.sizes)
    assert learning.known.ms_per_row[1] == pytest.approx(10)
    assert learning.known.ms_per_row[64] == pytest.approx(10 / 64)
    assert learning.known.best_rows == 64


def test_a_network_that_costs_the_same_a_row_is_not_batched() -> None:
    learning = Learning(FULL)
    assert learning.batches(40, waiting=100) == 1
    assert max(learning.sizes) == 4, "searched on after two sizes that did not pay"
    assert sum(size > 1 for size in learning.sizes) <= 8


def test_a_size_is_tried_only_if_enough_requests_wait_for_it() -> None:
    learning = Learning(FULL)
    assert learning.batches(40, waiting=1) == 1
    assert learning.batches(40, waiting=3) == 1, "twice does not pay, and nobody fills four rows"
    assert learning.batches(40, waiting=100) == 1
    assert max(learning.sizes) == 4


def test_the_search_ends_where_more_rows_cost_more_a_row() -> None:
    learning = Learning(lambda rows: 0.020 + 0.001 * rows + (0.004 * (rows - 8) if rows > 8 else 0))
    assert learning.batches(60, waiting=100) == 8
    assert max(learning.sizes) <= 32


def test_one_spoiled_size_does_not_end_the_search() -> None:
    learning = Learning(lambda rows: 0.1 if rows == 4 else 0.010)
    assert learning.batches(60, waiting=100) == MAX_ROWS


def test_gains_too_small_to_wait_for_do_not_count() -> None:
    assert Learning(lambda rows: 0.010 * rows + 0.0002).batches(60, waiting=100) == 1


def test_the_first_pass_at_a_size_says_nothing() -> None:
    seen: set[int] = set()

    def seconds(rows: int) -> float:
        first = rows not in seen
        seen.add(rows)
        return 10.0 if first else 0.010

    learning = Learning(seconds)
    assert learning.batches(60, waiting=100) == MAX_ROWS
    assert learning.known.ms_per_row[1] == pytest.approx(10)


def test_a_size_that_ran_out_of_memory_is_not_tried_again() -> None:
    learning = Learning(CHEAP)
    learning.batches(16, waiting=16)
    learning.costs.limit("net", 8)
    assert learning.batches(20, waiting=100) == 8
    assert learning.costs.most("net") == 8
    assert learning.costs.most("another") == MAX_ROWS


@pytest.mark.parametrize(("rows", "largest"), [(2, 8), (3, 9), (5, 10)])
def test_batches_are_of_whole_calls_and_capped(rows: int, largest: int) -> None:
    learning = Learning(CHEAP, rows, max_rows=12)
    assert learning.batches(60, waiting=100) == largest
    assert all(size % rows == 0 for size in learning.sizes)
    assert Learning(CHEAP, rows=5, max_rows=3).batches(9, waiting=100) == 5


def test_what_is_known_is_forgotten_after_many_other_kinds() -> None:
    costs = BatchCosts()
    for kind in range(100):
        for _ in range(4):
            costs.record(kind, 1, 0.01)
    assert len(costs.known()) == 64
    assert costs.wants(0, 1)
    assert not costs.wants(99, 1)
