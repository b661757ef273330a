"""Discounts: whole credits, and never for nothing."""

import pytest

from billing.prices import PriceLine, apply_discounts, total


def quote(credits: int, percent: int = 0) -> list[int]:
    return [line.credits for line in apply_discounts([PriceLine("it", 1, credits)], percent)]


@pytest.mark.parametrize(
    ("credits", "percent", "lines"),
    [
        (100, 0, [100]),
        (100, 10, [100, -10]),
        (4, 10, [4]),  # less than half a credit
        (5, 10, [5, -1]),  # half of one
        (1, 90, [1]),  # what costs anything costs one
        (0, 50, [0]),
    ],
)
def test_a_discount_is_a_line_of_its_own(credits: int, percent: int, lines: list[int]) -> None:
    assert quote(credits, percent) == lines


def test_a_discounted_price_is_at_least_one_credit() -> None:
    for credits in range(1, 200):
        for percent in range(0, 101, 5):
            assert 1 <= sum(quote(credits, percent)) <= credits


def test_a_batch_costs_half_and_the_plan_is_off_the_rest() -> None:
    lines = apply_discounts([PriceLine("it", 1, 100)], 10, in_batch=True)
    assert [line.credits for line in lines] == [100, -50, -5]
    assert [line.item for line in lines[1:]] == [
        "50 % off as part of a batch",
        "10 % off by your plan",
    ]
    assert total(apply_discounts([PriceLine("it", 1, 1)], in_batch=True)) == 1


def test_the_lines_themselves_stay() -> None:
    lines = [PriceLine("a", 2, 30), PriceLine("b", 1, 20)]
    found = apply_discounts(lines, 10)
    assert found[:2] == lines
    assert total(found) == 45
