"""Quotes: what a request costs is fixed at submit and kept on the job, with the price's version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class PriceLine:
    """One line of a quote: what is counted, how often, and the credits it comes to."""

    item: str
    quantity: int
    credits: int


def total(lines: Iterable[PriceLine]) -> int:
    return sum(line.credits for line in lines)


def apply_discounts(lines: Iterable[PriceLine], plan_percent: int = 0) -> list[PriceLine]:
    """The lines, and one below zero for the plan's discount, if it is a credit at least.

    The discount is rounded to whole credits, half a credit up, and what cost anything costs one
    credit at least.
    """
    all_lines = list(lines)
    full = total(all_lines)
    off = min((full * plan_percent + 50) // 100, full - 1)
    if off > 0:
        all_lines.append(PriceLine(f"{plan_percent} % off by your plan", 1, -off))
    return all_lines
