"""How many rows pay, found on networks whose cost is known. The clock is theirs, not the wall's."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.diffusion.batching import cost
from models.diffusion.batching.call import Call
from models.diffusion.batching.cost import BatchCost, measure_batch_cost

Measured = Callable[..., BatchCost]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Measure a network that takes ``seconds(rows)``; ``tried`` collects the rows of each pass."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def run(
        seconds: Callable[[int], float], rows: int = 1, tried: list[int] | None = None, **more: int
    ) -> BatchCost:
        def network(sample: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            if tried is not None:
                tried.append(len(sample))
            clock.now += seconds(len(sample))
            return sample

        call = Call(network, (torch.zeros(rows, 4), torch.tensor(3)), {}, rows, session=None)
        return measure_batch_cost(call, **more)

    return run


def test_a_network_as_dear_for_many_rows_as_for_one_gets_all_there_may_be(
    measured: Measured,
) -> None:
    found = measured(lambda rows: 0.010)
    assert found.best_rows == cost.MAX_ROWS
    assert found.ms_per_row[1] == pytest.approx(10)
    assert found.ms_per_row[64] == pytest.approx(10 / 64)


def test_a_network_that_costs_the_same_a_row_is_not_batched(measured: Measured) -> None:
    tried: list[int] = []
    assert measured(lambda rows: 0.010 * rows, tried=tried).best_rows == 1
    assert max(tried) <= 4, "searched on after two sizes that did not pay"


def test_the_search_ends_where_more_rows_cost_more_a_row(measured: Measured) -> None:
    found = measured(lambda rows: 0.020 + 0.001 * rows + (0.004 * (rows - 8) if rows > 8 else 0))
    assert found.best_rows == 8
    assert max(found.ms_per_row) <= 32


def test_one_spoiled_size_does_not_end_the_search(measured: Measured) -> None:
    assert measured(lambda rows: 0.1 if rows == 4 else 0.010).best_rows == cost.MAX_ROWS


def test_gains_too_small_to_wait_for_do_not_count(measured: Measured) -> None:
    assert measured(lambda rows: 0.010 * rows + 0.0002).best_rows == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["cuda", "python", "torch-cpu"],
)
def test_running_out_of_memory_ends_the_search_at_what_fitted(
    measured: Measured, error: Exception
) -> None:
    def seconds(rows: int) -> float:
        if rows > 16:
            raise error
        return 0.010

    assert measured(seconds).best_rows == 16


def test_rows_are_counted_in_multiples_of_the_call_and_capped(measured: Measured) -> None:
    found = measured(lambda rows: 0.010, rows=2, max_rows=12)
    assert list(found.ms_per_row) == [2, 4, 8]
    assert found.best_rows == 8
    assert measured(lambda rows: 0.010, rows=5, max_rows=3).best_rows == 5


def test_a_long_pass_that_pays_counts_but_is_not_doubled(measured: Measured) -> None:
    found = measured(lambda rows: 1.5 + 0.4 * rows)
    assert list(found.ms_per_row) == [1, 2]
    assert found.best_rows == 2


def test_other_errors_are_not_taken_for_memory(measured: Measured) -> None:
    def seconds(rows: int) -> Any:
        raise ValueError("shapes do not match")

    with pytest.raises(ValueError, match="shapes"):
        measured(seconds)
