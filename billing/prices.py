"""Quotes: what a request costs is fixed at submit and kept on the job, with the price's version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Off what is submitted as part of a batch, which may wait.
BATCH_DISCOUNT_PERCENT = 20


@dataclass(frozen=True)
class PriceLine:
    """One line of a quote: what is counted, how often, and the credits it comes to."""

    item: str
    quantity: int
    credits: int


def total(lines: Iterable[PriceLine]) -> int:
    return sum(line.credits for line in lines)


def apply_discounts(
    lines: Iterable[PriceLine], plan_percent: int = 0, *, batch: bool = False
) -> list[PriceLine]:
    """The lines, and one below zero for each discount.

    The batch discount is off what the plan's has left. Each is rounded to whole credits, half a
    credit up, and what cost anything costs one credit at least.
    """
    all_lines = list(lines)
    for item, percent in (
        (f"{plan_percent} % off by your plan", plan_percent),
        (f"{BATCH_DISCOUNT_PERCENT} % off in a batch", BATCH_DISCOUNT_PERCENT if batch else 0),
    ):
        left = total(all_lines)
        off = min((left * percent + 50) // 100, left - 1)
        if off > 0:
            all_lines.append(PriceLine(item, 1, -off))
    return all_lines
