"""Discounts: whole credits, one after the other, and never for nothing."""

import pytest

from billing.prices import BATCH_DISCOUNT_PERCENT, PriceLine, apply_discounts, total


def quote(credits: int, percent: int = 0, *, batch: bool = False) -> list[int]:
    return [
        line.credits
        for line in apply_discounts([PriceLine("it", 1, credits)], percent, batch=batch)
    ]


@pytest.mark.parametrize(
    ("credits", "percent", "batch", "lines"),
    [
        (100, 0, False, [100]),
        (100, 10, False, [100, -10]),
        (100, 10, True, [100, -10, -18]),
        (100, 0, True, [100, -BATCH_DISCOUNT_PERCENT]),
        (4, 10, False, [4]),  # less than half a credit
        (5, 10, False, [5, -1]),  # half of one
        (1, 90, True, [1]),  # what costs anything costs one
        (0, 50, True, [0]),
    ],
)
def test_discounts_are_lines_of_their_own(
    credits: int, percent: int, batch: bool, lines: list[int]
) -> None:
    assert quote(credits, percent, batch=batch) == lines


def test_a_discounted_price_is_at_least_one_credit() -> None:
    for credits in range(1, 200):
        for percent in range(0, 101, 5):
            for batch in (False, True):
                left = sum(quote(credits, percent, batch=batch))
                assert 1 <= left <= credits


def test_the_lines_themselves_stay() -> None:
    lines = [PriceLine("a", 2, 30), PriceLine("b", 1, 20)]
    found = apply_discounts(lines, 10)
    assert found[:2] == lines
    assert total(found) == 45
