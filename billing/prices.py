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


def apply_discounts(lines: Iterable[PriceLine], plan_percent: int = 0) -> list[PriceLine]:
    """Return the lines, and a negative line for the plan's discount if it is at least one credit.

    The discount is rounded to whole credits, half a credit up, and a job that costs anything costs
    at least one credit.
    """
    all_lines = list(lines)
    full = total(all_lines)
    off = min((full * plan_percent + 50) // 100, full - 1)
    if off > 0:
        all_lines.append(PriceLine(f"{plan_percent} % off by your plan", 1, -off))
    return all_lines
