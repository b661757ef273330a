"""Buying over HTTP: what is sold, the ways to Stripe's pages, and what is refused."""

import httpx
import pytest
from redis.asyncio import Redis

from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from scripts.dev.stripe_standin import API_KEY
from serve_app.api import create_api
from tests.support.http import World, problem, running, settings_for
from tests.support.payments import Shop
from tests.support.waiting import HANG_S


async def test_what_is_sold_comes_with_prices_credits_and_limits(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    found = (await ada.get("/v1/billing/packs")).json()
    assert [one["name"] for one in found["packs"]] == ["small", "medium", "large"]
    small, pro = found["packs"][0], found["plans"][1]
    assert (small["credits"], small["amount"], small["currency"]) == (500, 500, "usd")
    assert (pro["name"], pro["interval"], pro["max_running_jobs"]) == ("pro", "month", 100)


async def test_a_checkout_is_opened_once_for_a_key(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    key = {"Idempotency-Key": "one"}
    first = await ada.post("/v1/billing/checkout", json={"pack": "small"}, headers=key)
    again = await ada.post("/v1/billing/checkout", json={"pack": "small"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = await ada.post("/v1/billing/checkout", json={"pack": "large"}, headers=key)
    assert problem(other, 422, "idempotency_mismatch")
    without = await ada.post("/v1/billing/checkout", json={"pack": "small"})
    assert without.json()["id"] != first.json()["id"]
    assert len(open_shop.sdk.v1.customers.list().data) == 1


async def test_where_the_customer_goes_afterwards(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    to = {"success_url": "https://shop.example/thanks?s={CHECKOUT_SESSION_ID}"}
    made = await ada.post("/v1/billing/checkout", json={"pack": "small", **to})
    async with httpx.AsyncClient(timeout=HANG_S) as browser:
        paid = await browser.post(made.json()["url"], data={"way": "works"})
        assert paid.headers["Location"] == f"https://shop.example/thanks?s={made.json()['id']}"
        made = await ada.post("/v1/billing/checkout", json={"pack": "small"})
        paid = await browser.post(made.json()["url"], data={"way": "works"})
        thanks = await browser.get(paid.headers["Location"])
        assert "Thank you" in thanks.text


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, []),
        ({"pack": "small", "plan": "pro"}, []),
        ({"pack": "huge"}, ["pack"]),
        ({"plan": "free"}, ["plan"]),
        ({"pack": "small", "success_url": "javascript:alert(1)"}, ["success_url"]),
        ({"pack": "small", "card": "4242"}, ["card"]),
    ],
)
async def test_a_checkout_of_something_else_is_refused(
    open_shop: Shop, body: dict[str, str], at: list[str]
) -> None:
    ada = await open_shop.world.guest()
    answer = await ada.post("/v1/billing/checkout", json=body)
    assert problem(answer, 422, "bad_input")
    assert answer.json()["errors"][0]["loc"][-len(at) or 1 :] == at or not at


async def test_portal_subscription_and_receipts_of_somebody_who_bought_nothing(
    open_shop: Shop,
) -> None:
    ada = await open_shop.world.guest()
    assert problem(await ada.post("/v1/billing/portal", json={}), 404, "not_found")
    assert problem(await ada.get("/v1/billing/subscription"), 404, "not_found")
    assert (await ada.get("/v1/billing/receipts")).json()["data"] == []


async def test_receipts_are_paged_and_ones_own(open_shop: Shop) -> None:
    ada, bob = [await open_shop.world.guest() for _ in range(2)]
    for _ in range(3):
        await open_shop.buy(ada, pack="small")
    await open_shop.buy(bob, pack="large")
    first = (await ada.get("/v1/billing/receipts?limit=2")).json()
    rest = (await ada.get(f"/v1/billing/receipts?limit=2&after={first['next']}")).json()
    assert [len(first["data"]), len(rest["data"])] == [2, 1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert {one["total"] for one in first["data"] + rest["data"]} == {500}
    async with httpx.AsyncClient(timeout=HANG_S) as browser:
        assert "Invoice" in (await browser.get(first["data"][0]["url"])).text


async def test_nothing_is_sold_without_a_key(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    app = create_api(["tests.support.scribe"], settings_for(store_settings))
    async with running(app) as client:
        ada = await World(app, client).guest()
        assert problem(await ada.get("/v1/billing/packs"), 404, "billing_disabled")
        bought = await ada.post("/v1/billing/checkout", json={"pack": "small"})
        assert problem(bought, 404, "billing_disabled")
        hook = await client.post("/v1/billing/stripe/webhook", content=b"{}")
        assert problem(hook, 404, "billing_disabled")


async def test_a_stripe_that_does_not_answer_is_503(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    settings = settings_for(
        store_settings, STRIPE_API_KEY=API_KEY, STRIPE_API_BASE="http://127.0.0.1:9"
    )
    async with running(app := create_api(["tests.support.scribe"], settings)) as client:
        ada = await World(app, client).guest()
        answer = await ada.get("/v1/billing/packs")
        assert problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
