"""The Stripe customer of a user."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from billing.stripe.client import StripeRejected
from billing.stripe.gateway import StripeGateway
from db.accounts import users
from db.errors import StoreUnavailable
from db.tables import StripeCustomer
from serve_app.http.errors import BillingDisabled, NotFound
from serve_app.resources import Clients


def require_gateway(clients: Clients) -> StripeGateway:
    """Return the gateway to Stripe; raises BillingDisabled if there is none."""
    if clients.stripe is None:
        raise BillingDisabled
    return clients.stripe


async def get_customer_id(clients: Clients, user_id: str) -> str | None:
    """Return the customer's id, or None if the user never opened a checkout."""
    async with clients.sessions() as session:
        return await session.scalar(
            select(StripeCustomer.customer_id).where(StripeCustomer.user_id == user_id)
        )


async def ensure_customer_id(clients: Clients, user_id: str) -> str:
    """Return the customer's id; creates the customer if there is none.

    Two calls at once get the same customer, since the idempotency key is made of the user's id; a
    crash in between leaves at most a customer that no row refers to.
    """
    known_id = await get_customer_id(clients, user_id)
    if known_id is not None:
        return known_id
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
    if user is None:
        raise NotFound
    created_id = await require_gateway(clients).checkout.create_customer(user_id, user.email)
    async with clients.sessions.begin() as session:
        await session.execute(
            insert(StripeCustomer)
            .values(user_id=user_id, customer_id=created_id)
            .on_conflict_do_nothing(index_elements=[StripeCustomer.user_id])
        )
    return await get_customer_id(clients, user_id) or created_id


def as_unavailable(error: StripeRejected) -> StoreUnavailable:
    """Turn a rejection by Stripe into StoreUnavailable: the client cannot change what we sent."""
    return StoreUnavailable("stripe", error.code)
