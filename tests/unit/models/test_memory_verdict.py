"""When the benchmark of memory plans calls a plan's word broken."""

import pytest

from benchmarks.gpu.memory import Measured
from models.memory.peaks import PlanRecord
from models.memory.plans import MemoryPlan

LIMIT = 7192


def measured(estimate: int, peak: int, first: int = 0, failure: str = "") -> Measured:
    record = PlanRecord("model", MemoryPlan.RESIDENT, estimate, peak)
    return Measured("text_to_image", True, record, first, failure)


def test_an_estimate_within_15_percent_is_no_fault() -> None:
    assert measured(3400, 3000, first=LIMIT).faults(LIMIT) == []
    assert measured(2600, 3000).faults(LIMIT) == []


def test_an_error_of_a_few_megabytes_is_no_fault() -> None:
    """No card feels the 33 MB by which a network of 95 may be estimated too high."""
    assert measured(163, 130).faults(LIMIT) == []


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (measured(2500, 3000), "the estimate is off by -17 %"),
        (measured(3500, 3000), "the estimate is off by +17 %"),
        (measured(LIMIT, LIMIT + 1), "the peak is over the budget"),
        (measured(3000, 3000, first=LIMIT + 1), "the peak is over the budget"),
        (measured(3000, 0, failure="TypeError: no"), "TypeError: no"),
    ],
)
def test_what_is_wrong_is_said(result: Measured, fault: str) -> None:
    assert result.faults(LIMIT) == [fault]
