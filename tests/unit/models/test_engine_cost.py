"""How many rows pay, learned from batches whose cost is known."""

from collections.abc import Callable

import pytest

from models.cores import usable_cores
from models.diffusion.batching import lanes_for
from models.diffusion.batching.cost import MAX_ROWS, BatchCost, BatchCosts, Layout

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
            layout = self.costs.layout("net", self.rows, waiting)
            size = min(layout.rows, waiting) // self.rows * self.rows
            self.sizes.append(size)
            if self.costs.wants("net", size):
                self.costs.record("net", layout, size, self.seconds(size))
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
            costs.record(kind, Layout(1, 1, 1), 1, 0.01)
    assert len(costs.known()) == 64
    assert costs.wants(0, 1)
    assert not costs.wants(99, 1)


# Lanes and threads, on a machine of several cores.

Pass = Callable[[int, int, int], float]  # seconds, by rows, lanes at work and threads


def settled(costs: BatchCosts, took: Pass, asked: int, rows: int = 2) -> Layout:
    """Where the search ends if lanes compute ``asked`` rows, again and again, as they are told."""
    layout = costs.layout("net", rows, asked)
    for _ in range(200):
        took_s = took(layout.rows, layout.lanes, layout.threads)
        costs.record("net", layout, layout.rows, took_s, lanes=layout.lanes)
        layout = costs.layout("net", rows, asked)
    return layout


def python_bound(rows: int, lanes: int, threads: int) -> float:
    """Lanes run 5 ms of Python in turns, and compute a millisecond a row side by side."""
    return 0.005 * lanes + 0.001 * rows


def test_many_rows_are_divided_among_lanes_and_few_are_not() -> None:
    costs = BatchCosts(lanes=2, cores=2)
    assert settled(costs, python_bound, asked=32) == Layout(lanes=2, threads=1, rows=16)
    assert settled(costs, python_bound, asked=4) == Layout(lanes=1, threads=1, rows=4)
    assert settled(costs, python_bound, asked=2) == Layout(lanes=1, threads=1, rows=2)


def test_lanes_that_slow_one_another_down_as_much_as_they_help_are_left_alone() -> None:
    costs = BatchCosts(lanes=8, cores=8)
    assert settled(costs, lambda rows, lanes, _: 0.001 * rows * lanes, asked=32).lanes == 1


def test_all_cores_compute_a_long_pass_that_is_alone() -> None:
    costs = BatchCosts(lanes=8, cores=8)
    took: Pass = lambda rows, lanes, threads: 0.4 * rows / threads  # noqa: E731
    assert settled(costs, took, asked=2) == Layout(lanes=1, threads=8, rows=2)
    assert settled(costs, took, asked=16) == Layout(lanes=8, threads=1, rows=2)


def test_a_short_pass_is_not_even_tried_with_more_threads() -> None:
    costs = BatchCosts(lanes=2, cores=2)

    def took(rows: int, lanes: int, threads: int) -> float:
        assert threads == 1, "beside a busy process this takes a hundred times as long"
        return 0.013

    assert settled(costs, took, asked=2) == Layout(lanes=1, threads=1, rows=2)


def test_lanes_that_never_work_at_the_same_time_are_not_tried_for_ever() -> None:
    costs = BatchCosts(lanes=2, cores=2)
    layouts = []
    for _ in range(100):
        layout = costs.layout("net", 2, 8)
        layouts.append(layout.lanes)
        costs.record("net", layout, layout.rows, 0.01, lanes=1.0)
    assert 1 <= layouts.count(2) <= 30
    assert layouts[-20:] == [1] * 20
    assert costs.known()[0].ways == {}


def test_on_an_accelerator_there_is_one_lane() -> None:
    assert settled(BatchCosts(lanes=1, cores=8), python_bound, asked=32).lanes == 1
    assert lanes_for("cuda") == 1
    assert lanes_for("cpu") == usable_cores()
