"""What is sold: packs of credits, and plans that bring credits every month.

The list is what ``python -m scripts.stripe_setup`` makes at Stripe, where prices, currencies and
taxes then live. How many credits a price brings is written on the price itself and never changed: a
new number is a new price, and whoever subscribed to the old one keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pack", "plan"]


@dataclass(frozen=True)
class Offer:
    """``amount`` is in the currency's smallest unit; a plan's is per month."""

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
    """An offer as it is sold now: its price at Stripe."""

    id: str
    kind: Kind
    name: str
    title: str
    credits: int
    amount: int | None
    currency: str
    interval: str | None
