"""Who a user is at Stripe."""

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
    """Raises NothingSold."""
    if clients.stripe is None:
        raise BillingDisabled
    return clients.stripe


async def get_customer_id(clients: Clients, user_id: str) -> str | None:
    """The customer's id, if the user ever was to buy something."""
    async with clients.sessions() as session:
        return await session.scalar(
            select(StripeCustomer.customer_id).where(StripeCustomer.user_id == user_id)
        )


async def ensure_customer_id(clients: Clients, user_id: str) -> str:
    """The customer's id, made if need be.

    Two at once get the same one, since Stripe is asked under a key made of the user's id; a crash
    in between leaves at most a customer nobody refers to.
    """
    found = await get_customer_id(clients, user_id)
    if found is not None:
        return found
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
    if user is None:
        raise NotFound
    made = await require_gateway(clients).checkout.create_customer(user_id, user.email)
    async with clients.sessions.begin() as session:
        await session.execute(
            insert(StripeCustomer)
            .values(user_id=user_id, customer_id=made)
            .on_conflict_do_nothing(index_elements=[StripeCustomer.user_id])
        )
    return await get_customer_id(clients, user_id) or made


def as_unavailable(error: StripeRejected) -> StoreUnavailable:
    """Stripe refuses what we sent: nothing the client could change. The log says more."""
    return StoreUnavailable("stripe", error.code)
