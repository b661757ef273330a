"""Customers who pay: the API, a stand-in for Stripe that tells it of everything, and the keeper."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import stripe
from sqlalchemy import func, select

from billing.reconcile import Difference, reconcile
from billing.settings import StripeSettings
from billing.stripe import inbox
from billing.stripe.gateway import StripeGateway
from billing.stripe.reconcile import reconcile_with_stripe
from billing.stripe.setup import set_up
from db.embedded.state import free_port
from db.settings import StoreSettings
from db.tables import StripeEvent
from scripts.dev.stripe_standin import API_KEY, StandIn, standin
from tests.support.http import Person, World, served

SECRET = "whsec_of_the_tests"
TIMEOUT_S = 120


@dataclass(frozen=True)
class Shop:
    """``sdk`` is Stripe's own, pointed at the stand-in."""

    world: World
    there: StandIn
    gateway: StripeGateway
    sdk: stripe.StripeClient

    async def act(self, name: str, **given: Any) -> Any:
        """What customers, banks and the dashboard do; the stand-in may call the API meanwhile."""
        return await asyncio.to_thread(self.there.act, name, **given)

    async def buy(self, person: Person, **what: str) -> str:
        """Through the page, as a customer does; the id of the session."""
        answer = await person.post("/v1/billing/checkout", json=what)
        assert answer.status_code == 201, answer.text
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as browser:
            page = await browser.get(answer.json()["url"])
            assert "no money moves" in page.text
            paid = await browser.post(answer.json()["url"], data={"way": "works"})
            assert paid.status_code == 303, paid.text
        return str(answer.json()["id"])

    async def at_the_portal(self, person: Person, what: str) -> None:
        """Press the button whose name and value fit ``what``."""
        answer = await person.post("/v1/billing/portal", json={})
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as browser:
            page = await browser.get(answer.json()["url"])
            for name, value in re.findall(r'name="(\w+)" value="([^"]+)"', page.text):
                if re.search(what, f"{name}={value}"):
                    done = await browser.post(answer.json()["url"], data={name: value})
                    assert done.status_code == 200, done.text
                    return
        raise AssertionError(f"no button {what} in {page.text}")

    async def told(self) -> None:
        """Until the stand-in has delivered all of its events."""
        async with asyncio.timeout(TIMEOUT_S):
            while (await self.act("deliveries"))["data"]:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.05)

    async def refused(self) -> None:
        """Until the stand-in has tried in vain to deliver all that it has."""
        async with asyncio.timeout(TIMEOUT_S):
            while not all(  # noqa: ASYNC110 - in another process
                one["attempts"] for one in (await self.act("deliveries"))["data"]
            ):
                await asyncio.sleep(0.05)
        assert (await self.act("deliveries"))["data"], "nobody was to be told of anything"

    async def work_off(self) -> int:
        """What the keeper does with the inbox; how many events."""
        done = 0
        while await inbox.process_next(self.world.sessions, self.gateway) is not None:
            done += 1
        return done

    async def booked(self) -> None:
        """Until everything that happened at Stripe is in the books."""
        await self.told()
        await self.work_off()

    async def differences(self) -> list[Difference]:
        """What ``atelier-admin reconcile`` would print."""
        async with self.world.sessions() as session:
            found = await reconcile(session)
        async with self.world.sessions() as session:
            since = datetime.now(UTC) - timedelta(days=1)
            return found + await reconcile_with_stripe(session, self.gateway, since)

    async def events(self, **fields: Any) -> int:
        """How many are in the inbox."""
        query = select(func.count()).select_from(StripeEvent).filter_by(**fields)
        async with self.world.sessions() as session:
            return int(await session.scalar(query) or 0)


@asynccontextmanager
async def shop(stores: StoreSettings) -> AsyncIterator[Shop]:
    """Open for business: prices made, webhooks coming in."""
    port = free_port()
    given = {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": f"http://127.0.0.1:{port}",
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    settings = StripeSettings(**given)
    async with served(stores, **given) as world:
        webhook = f"{str(world.http.base_url).rstrip('/')}/v1/billing/stripe/webhook"
        with standin(webhook, secret=SECRET, port=port) as there:
            await set_up(settings, "usd", None)
            gateway = StripeGateway(settings)
            try:
                sdk = stripe.StripeClient(API_KEY, base_addresses={"api": there.url})
                yield Shop(world, there, gateway, sdk)
            finally:
                await gateway.close()
