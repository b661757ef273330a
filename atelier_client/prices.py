"""What a job costs, line by line."""

from __future__ import annotations

from atelier_client.calls import Answer


class PriceLine(Answer):
    """One line of a quote; discounts are below zero."""

    item: str
    quantity: int
    credits: int
