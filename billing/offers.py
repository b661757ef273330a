"""The offers: packs of credits, and plans that grant credits every month.

``atelier-admin stripe setup`` creates them at Stripe, which then holds prices, currencies and
taxes. The number of credits is metadata of a price and never changes: another number is a new
price, and subscribers of the old price keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pack", "plan"]


@dataclass(frozen=True)
class Offer:
    """An offer; ``amount`` is in the currency's smallest unit, for a plan per month."""

    kind: Kind
    name: str
    title: str
    credits: int
    amount: int

    @property
    def lookup_key(self) -> str:
        return f"atelier_{self.kind}_{self.name}"


OFFERS = (
    Offer("pack", "small", "500 credits", 500, 500),
    Offer("pack", "medium", "2,200 credits", 2_200, 2_000),
    Offer("pack", "large", "6,000 credits", 6_000, 5_000),
    Offer("plan", "starter", "Starter: 1,500 credits a month", 1_500, 1_200),
    Offer("plan", "pro", "Pro: 6,000 credits a month", 6_000, 4_000),
)


@dataclass(frozen=True)
class Price:
    """The current price of an offer at Stripe."""

    id: str
    kind: Kind
    name: str
    title: str
    credits: int
    amount: int | None
    currency: str
    interval: str | None
