"""``atelier-admin stripe`` and ``reconcile`` against the stand-in for Stripe."""

import pytest

from tests.support.admin_command import Admin
from tests.support.payments import Shop


@pytest.fixture
def billing(open_shop: Shop, atelier_admin: Admin, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """The command, which knows the key of the shop."""
    for name, value in open_shop.there.environment().items():
        monkeypatch.setenv(name, value)
    return atelier_admin


async def test_what_is_sold_is_made_once(open_shop: Shop, billing: Admin) -> None:
    lines = (await billing.done("stripe", "setup")).splitlines()
    assert lines and all(": there (price_" in line for line in lines)
    url = "https://example.com/v1/billing/stripe/webhook"
    said = await billing.done("stripe", "setup", "--webhook-url", url)
    assert said.splitlines()[-1].startswith("STRIPE_WEBHOOK_SECRET=whsec_")


async def test_events_that_wait_are_listed_and_worked_off(open_shop: Shop, billing: Admin) -> None:
    ada = await open_shop.world.person()
    await open_shop.buy(ada, pack="small")
    await open_shop.told()
    waiting = await billing.rows("stripe", "events")
    assert waiting and {row["state"] for row in waiting} == {"waits"}
    before = (await ada.get("/v1/credits")).json()["balance"]
    worked_off = await billing.rows("stripe", "replay")
    assert [row["id"] for row in worked_off] == [row["id"] for row in waiting]
    assert (await ada.get("/v1/credits")).json()["balance"] > before
    assert await billing.rows("stripe", "events") == []
    assert (await billing("stripe", "catch-up", "--json")).json == {"missed": 0}
    assert (await billing.done("reconcile")).endswith("and Stripe)")
    unknown = await billing("stripe", "replay", "evt_none")
    assert unknown.status == 1 and "evt_none" in unknown.err


async def test_without_a_key_nothing_is_sold(
    atelier_admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    said = await atelier_admin("stripe", "setup")
    assert (said.status, said.out) == (2, "") and "STRIPE_API_KEY is not set" in said.err
