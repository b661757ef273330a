"""Priority class first, then a user's place among their own waiting jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.redis.queue import priority_of

CLASSES = ["high", "normal", "low"]
RANK = st.integers(min_value=0, max_value=10**9)


@given(RANK, RANK)
def test_every_class_comes_before_the_next_whatever_the_ranks(a: int, b: int) -> None:
    assert priority_of("high", a) < priority_of("normal", b) < priority_of("low", a)


@given(st.sampled_from(CLASSES), st.integers(0, 699_000), st.integers(0, 699_000))
def test_a_lower_rank_comes_first_within_a_class(name: str, a: int, b: int) -> None:
    assert (priority_of(name, a) < priority_of(name, b)) == (a < b)


@given(st.sampled_from(CLASSES), st.integers())
def test_every_number_is_one_the_queue_accepts(name: str, rank: int) -> None:
    assert 1 <= priority_of(name, rank) <= 2_097_152


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError):
        priority_of("urgent", 0)
