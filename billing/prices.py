"""Lines, totals and discounts of a quote, which is fixed at submit and stored on the job.

Each generator's ``spec.price`` computes the lines of its own requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class PriceLine:
    """One line of a quote: item, quantity, credits."""

    item: str
    quantity: int
    credits: int


def total(lines: Iterable[PriceLine]) -> int:
    return sum(line.credits for line in lines)


# Off the price of jobs that come as a batch and wait for whoever is in a hurry.
BATCH_DISCOUNT_PERCENT = 50


def apply_discounts(
    lines: Iterable[PriceLine], plan_percent: int = 0, *, in_batch: bool = False
) -> list[PriceLine]:
    """Return the lines, and a negative line for each discount that is at least one credit.

    That of a batch comes first, and the plan's is off the rest. Discounts are rounded to whole
    credits, half a credit up, and a job that costs anything costs at least one credit.
    """
    all_lines = list(lines)
    batch_percent = BATCH_DISCOUNT_PERCENT if in_batch else 0
    for percent, why in ((batch_percent, "as part of a batch"), (plan_percent, "by your plan")):
        full = total(all_lines)
        off = min((full * percent + 50) // 100, full - 1)
        if off > 0:
            all_lines.append(PriceLine(f"{percent} % off {why}", 1, -off))
    return all_lines
