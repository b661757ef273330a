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
