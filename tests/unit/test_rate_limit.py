"""Token buckets, against a model that counts tokens, and the table of rates."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing import plans
from serve_app.http.rate_limit import MAX_LOCAL, Bucket, LocalBuckets
from serve_app.http.rates import OF_ADDRESSES, OF_USERS, Rate, RateTable
from serve_app.settings import LimitSettings

RATES = st.builds(
    Rate,
    per_minute=st.integers(1, 10_000),
    burst=st.none() | st.integers(1, 50),
)
PAUSES_US = st.one_of(st.just(0), st.integers(0, 200_000), st.integers(0, 200_000_000))


class Tokens:
    """A bucket as it is told to children: tokens, that come back with time."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at_us = rate, Fraction(rate.capacity), 0

    def fill(self, now_us: int) -> None:
        came = Fraction(now_us - self.at_us, self.rate.interval_us)
        self.tokens, self.at_us = min(Fraction(self.rate.capacity), self.tokens + came), now_us


@given(rates=st.lists(RATES, min_size=1, max_size=2), pauses_us=st.lists(PAUSES_US, max_size=60))
def test_buckets_are_as_tokens_would_be(rates: list[Rate], pauses_us: list[int]) -> None:
    buckets = [Bucket("read", str(number), rate) for number, rate in enumerate(rates)]
    here, models, now_us = LocalBuckets(), [Tokens(rate) for rate in rates], 1_000_000
    for pause_us in pauses_us:
        now_us += pause_us
        for model in models:
            model.fill(now_us)
        let_in = all(model.tokens >= 1 for model in models)
        for model in models:
            model.tokens -= let_in
        allowance = here.take(buckets, now_us)
        assert allowance.exceeded is not let_in
        assert [level.remaining for level in allowance.levels] == [
            math.floor(model.tokens) for model in models
        ]
        for level, model in zip(allowance.levels, models, strict=True):
            full_us = (model.rate.capacity - model.tokens) * model.rate.interval_us
            assert level.missing_us == full_us
            assert level.wait_us == max(0, (1 - model.tokens) * model.rate.interval_us)


@given(rate=RATES, pauses_us=st.lists(PAUSES_US, max_size=40))
def test_who_waits_as_long_as_they_are_told_is_let_in_and_not_a_second_sooner(
    rate: Rate, pauses_us: list[int]
) -> None:
    bucket, here, now_us = Bucket("read", "a", rate), LocalBuckets(), 0
    for pause_us in pauses_us:
        now_us += pause_us
        refused = here.take([bucket], now_us)
        if not refused.exceeded:
            continue
        wait_us = refused.retry_after_s * 1_000_000
        if refused.retry_after_s > 1:
            assert here.take([bucket], now_us + wait_us - 1_000_000).exceeded
        now_us += wait_us
        assert not here.take([bucket], now_us).exceeded


@given(rate=RATES, pauses_us=st.lists(st.integers(0, 2_000_000), max_size=200))
def test_no_span_of_time_lets_in_more_than_a_burst_and_what_comes_back(
    rate: Rate, pauses_us: list[int]
) -> None:
    bucket, here, now_us, let_in = Bucket("read", "a", rate), LocalBuckets(), 0, []
    for pause_us in pauses_us:
        now_us += pause_us
        if not here.take([bucket], now_us).exceeded:
            let_in.append(now_us)
    for first in range(0, len(let_in), 7):
        for last in range(first, len(let_in), 11):
            span_us = let_in[last] - let_in[first]
            assert last - first + 1 <= rate.capacity + span_us / rate.interval_us


def test_the_border_of_a_minute_gives_nothing_back() -> None:
    """A window that begins anew lets twice the limit through within a second."""
    bucket, here = Bucket("read", "a", Rate(per_minute=60)), LocalBuckets()
    before, after = 59_900_000, 60_100_000
    assert not any(here.take([bucket], before).exceeded for _ in range(60))
    assert all(here.take([bucket], after).exceeded for _ in range(60))


def test_one_bucket_that_is_empty_spares_the_other() -> None:
    own = Bucket("read", "usr_a", Rate(per_minute=10))
    key = Bucket("read-key", "key_a", Rate(per_minute=10, burst=1))
    here = LocalBuckets()
    assert not here.take([own, key], 0).exceeded
    refused = here.take([own, key], 0)
    assert refused.exceeded and refused.retry_after_s == 6
    assert refused.headers() == {
        "RateLimit-Policy": '"read";q=10;w=60, "read-key";q=1;w=6',
        "RateLimit": '"read";r=9;t=6, "read-key";r=0;t=6',
    }
    assert here.take([own], 0).levels[0].remaining == 8


def test_a_smaller_rate_holds_at_once() -> None:
    """Who was given another plan waits no longer than its bucket takes to fill."""
    here = LocalBuckets()
    for _ in range(100):
        here.take([Bucket("read", "a", Rate(per_minute=100, burst=100))], 0)
    refused = here.take([Bucket("read", "a", Rate(per_minute=60, burst=2))], 0)
    assert refused.exceeded and refused.retry_after_s == 1


def test_a_process_keeps_a_bounded_number_of_buckets() -> None:
    here, rate = LocalBuckets(), Rate(per_minute=60, burst=1)
    first = Bucket("login", "first", rate)
    here.take([first], 0)
    assert here.take([first], 0).exceeded
    for number in range(MAX_LOCAL):
        here.take([Bucket("login", str(number), rate)], 0)
    assert not here.take([first], 0).exceeded
    assert here.take([Bucket("login", str(MAX_LOCAL - 1), rate)], 0).exceeded


# The table


def test_every_plan_has_a_rate_of_every_class_and_a_better_plan_none_that_is_lower() -> None:
    table = RateTable(600, {}, 80)
    assert set(table.of_address()) == set(OF_ADDRESSES)
    for plan in plans.PLANS:
        assert set(table.of_user(plan)) == set(OF_USERS)
    assert table.of_user("free")["read"] == Rate(per_minute=600)
    assert table.of_key("free")["read"] == Rate(per_minute=480)
    of_pro, of_free = table.of_user("pro"), table.of_user("free")
    assert all(of_pro[kind].per_minute > of_free[kind].per_minute for kind in OF_USERS)
    assert table.of_user("gone") == of_free


def test_operators_replace_single_rates() -> None:
    limits = LimitSettings.model_validate(
        {
            "RATE_LIMITS": {
                "pro": {"submit": {"per_minute": 30, "burst": 5}},
                "address": {"login": {"per_minute": 10}},
            }
        }
    )
    table = RateTable(600, limits.rate_limits, 50)
    assert table.of_user("pro")["submit"] == Rate(per_minute=30, burst=5)
    assert table.of_key("pro")["submit"] == Rate(per_minute=15, burst=2)
    assert table.of_user("pro")["read"] == Rate(per_minute=2400)
    assert table.of_address()["login"] == Rate(per_minute=10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"platinum": {"read": {"per_minute": 1}}},
        {"free": {"login": {"per_minute": 1}}},
        {"address": {"read": {"per_minute": 1}}},
        {"free": {"reading": {"per_minute": 1}}},
        {"free": {"read": {"per_minute": 0}}},
        {"free": {"read": {"per_hour": 1}}},
        {"free": {"read": {"per_minute": 1, "burst": 0}}},
    ],
)
def test_what_no_request_would_be_counted_by_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="RATE_LIMITS"):
        LimitSettings.model_validate({"RATE_LIMITS": wrong})


def test_a_small_base_leaves_every_class_one_request() -> None:
    table = RateTable(1, {}, 80)
    rates = [*table.of_user("free").values(), *table.of_key("free").values()]
    assert {rate.per_minute for rate in (*rates, *table.of_address().values())} == {1}
