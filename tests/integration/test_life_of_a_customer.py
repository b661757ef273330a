"""A customer from the first pack to the last refund, over HTTP, with Stripe's stand-in."""

from billing.stripe import inbox
from scripts.dev.stripe_standin import DAY
from tests.support.http import WELCOME, Person
from tests.support.payments import Shop


async def account(open_shop: Shop, person: Person) -> tuple[int, int, str]:
    """Balance, debt and plan over HTTP, once everything agrees."""
    assert await open_shop.differences() == []
    await open_shop.world.assert_adds_up(person.id)
    credits = (await person.get("/v1/credits")).json()
    limits = (await person.get("/v1/limits")).json()
    return credits["balance"], credits["debt"], limits["plan"]


async def test_the_life_of_a_customer(open_shop: Shop) -> None:
    ada = await open_shop.world.person()
    assert await account(open_shop, ada) == (WELCOME, 0, "free")

    # A pack, each webhook delivered twice.
    await open_shop.act("hold", held=True)
    session = await open_shop.buy(ada, pack="small")
    await open_shop.act("deliver", order="twice")
    await open_shop.act("hold", held=False)
    await open_shop.booked()
    credits = WELCOME + 500
    assert await account(open_shop, ada) == (credits, 0, "free")

    # A plan, the webhooks in reverse.
    await open_shop.act("hold", held=True)
    await open_shop.buy(ada, plan="starter")
    await open_shop.act("deliver", order="reversed")
    await open_shop.act("hold", held=False)
    await open_shop.booked()
    credits += 1500
    assert await account(open_shop, ada) == (credits, 0, "starter")
    second = await ada.post("/v1/billing/checkout", json={"plan": "pro"})
    assert second.json()["code"] == "already_subscribed"

    # Renewed while the service is down: Stripe finds nobody, and tells again later.
    door = open_shop.world.door
    assert door is not None
    await door.shut()
    await open_shop.act("advance", seconds=31 * DAY)
    await open_shop.refused()
    await door.open()
    assert "paid_not_booked" in {one.check for one in await open_shop.differences()}
    await open_shop.booked()
    credits += 1500
    assert await account(open_shop, ada) == (credits, 0, "starter")

    # Renewed once more, and nobody ever told us: as after an outage of days.
    for endpoint in open_shop.sdk.v1.webhook_endpoints.list().data:
        open_shop.sdk.v1.webhook_endpoints.delete(endpoint.id)
    await open_shop.act("advance", seconds=31 * DAY)
    missed = {one.check for one in await open_shop.differences()}
    assert missed == {"paid_not_booked"}
    assert await inbox.catch_up(open_shop.world.sessions, open_shop.gateway) > 0
    await open_shop.work_off()
    credits += 1500
    assert await account(open_shop, ada) == (credits, 0, "starter")

    # From here on only what is asked for is known: catching up is enough for everything.
    async def catch_up() -> None:
        await inbox.catch_up(open_shop.world.sessions, open_shop.gateway)
        await open_shop.work_off()

    # A renewal that fails: the plan stays while Stripe tries, and no credits come.
    customer = (await open_shop.gateway.state.session(session)).customer_id  # type: ignore[union-attr]
    await open_shop.act("card", customer=customer, state="fails")
    await open_shop.act("advance", seconds=31 * DAY)
    await catch_up()
    assert await account(open_shop, ada) == (credits, 0, "starter")
    subscription = (await ada.get("/v1/billing/subscription")).json()
    assert subscription["status"] == "past_due"

    # Another card, and Stripe's next try.
    await open_shop.act("card", customer=customer, state="works")
    await open_shop.act("advance", seconds=4 * DAY)
    await catch_up()
    credits += 1500
    assert await account(open_shop, ada) == (credits, 0, "starter")

    # A larger plan in the middle of the month: the part that is charged brings its part.
    await open_shop.at_the_portal(ada, "change=.*")
    await catch_up()
    balance, _, plan = await account(open_shop, ada)
    assert plan == "pro"
    assert 0 < balance - credits < 6000 - 1500
    credits = balance

    # The pack's money is taken back by the bank, and the dispute is lost.
    charge = open_shop.sdk.v1.charges.list({"customer": customer, "limit": 100}).data[-1]
    assert charge.amount == 500
    dispute = await open_shop.act("dispute", charge=charge.id)
    await catch_up()
    credits -= 500
    assert await account(open_shop, ada) == (credits, 0, "pro")
    await open_shop.act("close_dispute", dispute=dispute["id"], won=False)
    await catch_up()
    assert await account(open_shop, ada) == (credits, 0, "pro")

    # Half of the last renewal is given back at the dashboard.
    renewal = next(
        one
        for one in open_shop.sdk.v1.charges.list({"customer": customer, "limit": 100}).data
        if one.amount == 1200
    )
    open_shop.sdk.v1.refunds.create({"charge": renewal.id, "amount": 600})
    await catch_up()
    credits -= 750
    assert await account(open_shop, ada) == (credits, 0, "pro")

    # The end: the plan lasts until its period does.
    await open_shop.at_the_portal(ada, "cancel=.*")
    await catch_up()
    assert (await ada.get("/v1/billing/subscription")).json()["cancel_at_period_end"] is True
    assert await account(open_shop, ada) == (credits, 0, "pro")
    await open_shop.act("advance", seconds=31 * DAY)
    await catch_up()
    assert await account(open_shop, ada) == (credits, 0, "free")

    receipts = (await ada.get("/v1/billing/receipts")).json()["data"]
    assert [one["status"] for one in receipts] == ["paid"] * len(receipts)
    assert sum(one["total"] for one in receipts) == 500 + 4 * 1200 + receipts[0]["total"]
    movements = (await ada.get("/v1/credits/transactions?limit=100")).json()["data"]
    kinds = sorted(one["kind"] for one in movements)
    assert kinds == ["claw_back", "grant", *["purchase"] * 6, "refund"]
