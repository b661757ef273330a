"""The stand-in is worth something only if it is as strict as Stripe: asked by Stripe's own SDK."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from scripts.dev.stripe_standin import API_KEY, DAY, StandIn, standin
from scripts.dev.stripe_standin.world import API_VERSION
from tests.support.waiting import HANG_S

BACK = "https://example.com/back"


def client_of(running: StandIn) -> Any:
    return stripe.StripeClient(
        running.api_key,
        stripe_version=API_VERSION,
        base_addresses={"api": running.url},
        max_network_retries=0,
    ).v1


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with standin() as started:
        yield started


@pytest.fixture(scope="module")
def shop(running: StandIn) -> Any:
    return client_of(running)


@pytest.fixture(scope="module")
def price(shop: Any) -> str:
    product = shop.products.create({"name": "100 credits"})
    made = shop.prices.create({"currency": "eur", "unit_amount": 900, "product": product.id})
    assert isinstance(made.id, str)
    return made.id


def session_of(price: str, **changes: Any) -> dict[str, Any]:
    asked = {
        "mode": "payment",
        "line_items": [{"price": price, "quantity": 1}],
        "success_url": BACK,
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        (
            {"line_items": [{"price": "p", "amount": 1}]},
            "parameter_unknown",
            "line_items[0][amount]",
        ),
        ({"mode": "gift"}, None, "mode"),
        ({"expires_at": "soon"}, "parameter_invalid_integer", "expires_at"),
        ({"line_items": [{"price": "price_of_nothing", "quantity": 1}]}, "resource_missing", None),
        ({"customer": "cus_of_nobody"}, "resource_missing", "customer"),
        ({"line_items": [{"price": "", "quantity": 1}]}, "parameter_invalid_empty", None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_stripe_would_refuse_is_refused(
    shop: Any, price: str, changes: dict[str, Any], code: str | None, param: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.checkout.sessions.create(session_of(price, **changes))
    assert refused.value.http_status == 400
    assert code is None or refused.value.code == code
    assert param is None or refused.value.param == param


def test_what_is_missing_is_named(shop: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.prices.create({"unit_amount": 900})
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")


def test_another_key_another_version_and_another_path_are_refused(running: StandIn) -> None:
    def answer(path: str, **headers: str) -> tuple[int, str]:
        found = httpx.get(f"{running.url}{path}", headers=headers, timeout=HANG_S)
        return found.status_code, found.json()["error"]["type"]

    allowed = {"Authorization": f"Bearer {API_KEY}"}
    assert answer("/v1/balance")[0] == 401
    assert answer("/v1/balance", Authorization="Bearer sk_live_real")[0] == 401
    old = answer("/v1/balance", **allowed, **{"Stripe-Version": "2020-08-27"})
    assert old == (400, "invalid_request_error")
    assert answer("/v1/horses", **allowed) == (404, "invalid_request_error")


def test_a_key_is_answered_once(shop: Any) -> None:
    key = {"idempotency_key": "one-customer"}
    first = shop.customers.create({"name": "Ada"}, key)
    again = shop.customers.create({"name": "Ada"}, key)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        shop.customers.create({"name": "Eve"}, key)
    named = [one.name for one in shop.customers.list({"limit": 100}).data]
    assert (named.count("Ada"), named.count("Eve")) == (1, 0)


def test_pages_join_up(shop: Any) -> None:
    made = [shop.customers.create({"name": f"number {n}"}).id for n in range(7)]
    first = shop.customers.list({"limit": 3})
    assert [one.id for one in first.data] == made[:-4:-1] and first.has_more
    all_of_them = [one.id for one in first.auto_paging_iter()]
    assert all_of_them[:7] == made[::-1]
    assert len(all_of_them) == len(set(all_of_them))


def test_a_subscription_renews_as_time_goes_by(running: StandIn, shop: Any) -> None:
    product = shop.products.create({"name": "every month"})
    monthly = shop.prices.create(
        {
            "currency": "eur",
            "unit_amount": 500,
            "product": product.id,
            "recurring": {"interval": "month"},
        }
    )
    customer = shop.customers.create({"name": "Grace"}).id
    asked = session_of(monthly.id, mode="subscription", customer=customer)
    running.act("pay", session=shop.checkout.sessions.create(asked).id)

    def invoices() -> list[tuple[str, int]]:
        found = shop.invoices.list({"customer": customer})
        return [(one.billing_reason, one.amount_paid) for one in found.data]

    assert invoices() == [("subscription_create", 500)]
    running.act("advance", seconds=32 * DAY)
    assert invoices() == [("subscription_cycle", 500), ("subscription_create", 500)]
    running.act("card", customer=customer, state="fails")
    running.act("advance", seconds=31 * DAY)
    assert invoices()[0] == ("subscription_cycle", 0)
    assert shop.subscriptions.list({"customer": customer}).data[0].status == "past_due"


def test_what_it_was_told_survives_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "stripe.json"
    with standin(state=state) as before:
        shop = client_of(before)
        made = shop.customers.create({"name": "Ada"}, {"idempotency_key": "k"})
        os.kill(before.process.pid, signal.SIGKILL)
        before.process.wait(60)
    with standin(state=state) as after:
        shop = client_of(after)
        assert shop.customers.retrieve(made.id).name == "Ada"
        assert shop.customers.create({"name": "Ada"}, {"idempotency_key": "k"}).id == made.id
