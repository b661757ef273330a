"""Stripe's webhook and the inbox behind it: what is let in, kept, and made of it."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from billing.stripe import inbox
from db.settings import StoreSettings
from db.tables import Base, Payment, StripeEvent, Transaction
from deployments.maintenance.book_payments import book_payments, catch_up_payments
from deployments.maintenance.deployment import MaintenanceLoop, MaintenanceTask
from scripts.dev.stripe_standin import API_KEY
from scripts.dev.stripe_standin.app import signature
from tests.support.http import World, problem
from tests.support.payments import SECRET, Shop
from tests.support.waiting import HANG_S

PATH = "/v1/billing/stripe/webhook"


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": f"whsec_older,{SECRET}",
    }


def event(**changed: Any) -> str:
    body = {
        "id": "evt_1",
        "object": "event",
        "type": "checkout.session.completed",
        "created": int(time.time()),
        "data": {"object": {"id": "cs_1", "object": "checkout.session", "customer": "cus_1"}},
    }
    return json.dumps({**body, **changed})


async def deliver(api: World, payload: str, signed: str | None) -> httpx.Response:
    headers = {} if signed is None else {"Stripe-Signature": signed}
    return await api.http.post(PATH, content=payload.encode(), headers=headers)


async def kept(api: World) -> list[str]:
    async with api.sessions() as session:
        return list(await session.scalars(select(StripeEvent.id)))


@pytest.mark.parametrize("secret", [SECRET, "whsec_older"])
async def test_a_signed_event_is_kept_once(api: World, secret: str) -> None:
    payload = event()
    for _ in range(2):
        answer = await deliver(api, payload, signature(payload, secret))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert await kept(api) == ["evt_1"]


async def test_forged_stale_and_altered_events_are_refused(
    api: World,
) -> None:
    payload, now = event(), int(time.time())
    good = signature(payload, SECRET)
    refused = {
        "another's secret": (payload, signature(payload, "whsec_another")),
        "no signature": (payload, None),
        "an empty one": (payload, ""),
        "of another scheme": (payload, good.replace("v1=", "v0=")),
        "too old": (payload, signature(payload, SECRET, now - 301)),
        "altered": (payload.replace("cus_1", "cus_2"), good),
        "with another time": (payload, good.replace(f"t={now}", f"t={now - 1}")),
        "cut": (payload[:-1], good),
        "no JSON": ("hello", signature("hello", SECRET)),
        "no event": ("{}", signature("{}", SECRET)),
        "a list": ("[]", signature("[]", SECRET)),
    }
    for name, (body, signed) in refused.items():
        answer = await deliver(api, body, signed)
        assert problem(answer, 400, "invalid_signature"), name
        assert "whsec" not in answer.text
    answer = await api.http.post(PATH, content=b"\xff\xfe", headers={"Stripe-Signature": good})
    assert answer.status_code == 400
    assert await kept(api) == []


async def test_events_of_unknown_kinds_are_kept_and_change_nothing(open_shop: Shop) -> None:
    payload = event(type="something.new", id="evt_new")
    await deliver(open_shop.world, payload, signature(payload, SECRET))
    payload = event(id="evt_of_another_application")
    await deliver(open_shop.world, payload, signature(payload, SECRET))
    await open_shop.work_off()
    assert await open_shop.events(id="evt_new", outcome="ignored") == 1
    assert await open_shop.events(id="evt_of_another_application", outcome="not_ours") == 1
    async with open_shop.world.sessions() as session:
        assert await session.scalar(select(Transaction.id)) is None


async def test_a_delayed_payment_brings_credits_only_when_it_arrives(
    open_shop: Shop,
) -> None:
    ada = await open_shop.world.guest()
    before, _ = await open_shop.world.assert_adds_up(ada.id)
    sessions = []
    for _ in range(2):
        made = await ada.post("/v1/billing/checkout", json={"pack": "small"})
        await open_shop.act("pay", session=made.json()["id"], way="delayed")
        sessions.append(made.json()["id"])
    await open_shop.booked()
    assert (await open_shop.world.assert_adds_up(ada.id))[0] == before
    await open_shop.act("settle", session=sessions[0], arrives=True)
    await open_shop.act("settle", session=sessions[1], arrives=False)
    await open_shop.booked()
    assert (await open_shop.world.assert_adds_up(ada.id))[0] == before + 500
    assert await open_shop.differences() == []


async def test_a_declined_card_and_a_page_left_bring_nothing(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    made = await ada.post("/v1/billing/checkout", json={"pack": "small"})
    async with httpx.AsyncClient(timeout=HANG_S) as browser:
        page = await browser.post(made.json()["url"], data={"way": "declined"})
        assert page.status_code == 402
        left = await browser.post(made.json()["url"], data={"way": "cancel"})
        assert left.status_code == 303
    await open_shop.booked()
    async with open_shop.world.sessions() as session:
        assert await session.scalar(select(Payment.id)) is None


async def test_a_refund_that_fails_gives_the_credits_back(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, pack="small")
    await open_shop.booked()
    balance, _ = await open_shop.world.assert_adds_up(ada.id)
    charge = open_shop.sdk.v1.charges.list().data[0]
    refund = open_shop.sdk.v1.refunds.create({"charge": charge.id, "amount": 250})
    await open_shop.booked()
    assert (await open_shop.world.assert_adds_up(ada.id))[0] == balance - 250
    await open_shop.act("fail_refund", refund=refund.id)
    await open_shop.booked()
    assert (await open_shop.world.assert_adds_up(ada.id))[0] == balance
    assert await open_shop.differences() == []


async def test_an_inquiry_takes_nothing_and_a_dispute_won_gives_back(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, pack="small")
    await open_shop.booked()
    balance, _ = await open_shop.world.assert_adds_up(ada.id)
    charge = open_shop.sdk.v1.charges.list().data[0].id
    for inquiry, meanwhile in ((True, balance), (False, balance - 500)):
        dispute = await open_shop.act("dispute", charge=charge, inquiry=inquiry)
        await open_shop.booked()
        assert (await open_shop.world.assert_adds_up(ada.id))[0] == meanwhile
        await open_shop.act("close_dispute", dispute=dispute["id"], won=True)
        await open_shop.booked()
        assert (await open_shop.world.assert_adds_up(ada.id))[0] == balance


async def test_no_card_person_or_secret_is_in_any_row_or_log(
    open_shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, pack="small")
    await open_shop.booked()
    rows = []
    async with open_shop.world.sessions() as session:
        for table in Base.metadata.tables:
            if table != "users":  # whose address it is
                rows += await session.scalars(text(f"SELECT t::text FROM {table} t"))
    said = "\n".join([*map(str, rows), *capfd.readouterr()])
    assert "payment_intent.succeeded" in said
    # The card's last digits as they are written in JSON: a time may well have the same ones.
    for secret in ('"4242"', "visa", "A Customer", ada.email, SECRET, API_KEY, "receipt_url"):
        assert secret not in said, secret


async def test_two_keepers_at_once_book_everything_once(open_shop: Shop) -> None:
    people = [await open_shop.world.guest() for _ in range(3)]
    before = [(await open_shop.world.assert_adds_up(one.id))[0] for one in people]
    for person in people:
        await open_shop.buy(person, pack="small")
        await open_shop.buy(person, plan="starter")
    await open_shop.told()
    await asyncio.gather(*(open_shop.work_off() for _ in range(4)))
    after = [(await open_shop.world.assert_adds_up(one.id))[0] for one in people]
    assert after == [one + 2000 for one in before]
    assert await open_shop.differences() == []


class Slow:
    """Instead of the gateway: how many ask about a payment at the same time."""

    def __init__(self) -> None:
        self.state = self
        self.asking = self.most = self.asked = 0

    async def payment(self, payment_intent_id: str) -> None:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0.3)
        self.asking -= 1


async def test_events_of_one_payment_are_booked_one_after_the_other(
    api: World,
) -> None:
    """Of these events only some name the customer."""
    about = {"id": "x_1", "payment_intent": "pi_1"}
    events = (
        ("charge.refunded", {**about, "customer": "cus_1"}),
        ("charge.dispute.closed", about),
        ("refund.created", about),
    )
    for kind, thing in events:
        payload = event(id=f"evt_{kind}", type=kind, data={"object": thing})
        await deliver(api, payload, signature(payload, SECRET))
    gateway: Any = Slow()
    await asyncio.gather(
        *(inbox.process(api.sessions, gateway, f"evt_{kind}") for kind, _ in events)
    )
    assert (gateway.asked, gateway.most) == (3, 1)


async def test_while_stripe_is_silent_events_wait_and_are_given_up_after_days(
    open_shop: Shop,
) -> None:
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, pack="small")
    await open_shop.told()
    open_shop.there.process.kill()
    open_shop.there.process.wait()
    assert await open_shop.work_off() > 0
    waiting = await open_shop.events(processed_at=None)
    assert waiting > 0
    long_ago = datetime.now(UTC) - timedelta(days=4)
    async with open_shop.world.sessions.begin() as session:
        await session.execute(
            update(StripeEvent)
            .where(StripeEvent.processed_at.is_(None))
            .values(received_at=long_ago, available_at=long_ago)
        )
    await open_shop.work_off()
    assert await open_shop.events(outcome="failed") == waiting


async def test_replaying_books_what_was_given_up_and_nothing_twice(open_shop: Shop) -> None:
    ada = await open_shop.world.guest()
    before, _ = await open_shop.world.assert_adds_up(ada.id)
    await open_shop.buy(ada, pack="small")
    await open_shop.told()
    world, gateway = open_shop.world, open_shop.gateway
    async with world.sessions.begin() as session:
        await session.execute(
            update(StripeEvent).values(processed_at=datetime.now(UTC), outcome="failed")
        )
        ids = list(await session.scalars(select(StripeEvent.id)))
    for _ in range(2):
        for event_id in ids:
            assert await inbox.replay(world.sessions, gateway, event_id)
        assert (await world.assert_adds_up(ada.id))[0] == before + 500
    async with world.sessions.begin() as session:
        await session.execute(text("TRUNCATE stripe_events"))
    assert await inbox.replay(world.sessions, gateway, ids[-1]) is not None
    assert await inbox.replay(world.sessions, gateway, "evt_nobody_knows") is None


async def test_the_keeper_books_and_catches_up_by_itself(
    open_shop: Shop, store_settings: StoreSettings
) -> None:
    ada = await open_shop.world.guest()
    before, _ = await open_shop.world.assert_adds_up(ada.id)
    for endpoint in open_shop.sdk.v1.webhook_endpoints.list().data:
        open_shop.sdk.v1.webhook_endpoints.delete(endpoint.id)
    await open_shop.buy(ada, pack="small")

    async def nothing_crashed(replica: str) -> bool:
        return False

    tasks = (
        MaintenanceTask("book", book_payments, 0.1),
        MaintenanceTask("catch_up", catch_up_payments, 0.1),
    )
    settings = open_shop.world.clients.settings.stripe
    keeper = MaintenanceLoop(store_settings, [], nothing_crashed, tasks, stripe=settings)
    try:
        async with asyncio.timeout(120):
            while (await ada.get("/v1/credits")).json()["balance"] == before:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        keeper.check()
    finally:
        await keeper.close()
    assert (await open_shop.world.assert_adds_up(ada.id))[0] == before + 500
