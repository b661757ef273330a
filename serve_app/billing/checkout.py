"""Open Stripe's checkout page for a pack or a plan."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import select

from billing.offers import Price
from billing.stripe.client import IdempotencyKeyReused, StripeRejected
from billing.stripe.payments import PLAN_KEEPING_STATUSES
from db.tables import Subscription
from serve_app.billing import customer
from serve_app.billing.schemas import CheckoutBody, CheckoutView
from serve_app.http import errors, idempotency
from serve_app.resources import Clients

CALL = "POST /v1/billing/checkout"


async def checkout(
    clients: Clients, user_id: str, body: CheckoutBody, key: str | None, back_to: str
) -> tuple[CheckoutView, bool]:
    """Return the page, and whether an earlier request with this key opened it. Nothing is paid yet.

    Raises:
        BillingDisabled: payments are not set up here.
        BadInput: there is no such pack or plan.
        AlreadySubscribed: plans are changed in the portal.
        IdempotencyMismatch: the key was used with another body.
        StoreUnavailable: Stripe does not answer, or rejects a request of ours.
    """
    gateway = customer.require_gateway(clients)
    hashed = idempotency.body_hash(CALL, body.model_dump(mode="json"))
    if key is not None:
        async with clients.sessions() as session:
            await idempotency.find(session, user_id, key, hashed)  # refuses another body
    price = _select_price(await gateway.checkout.prices(), body)
    if price.kind == "plan" and await _is_subscribed(clients, user_id):
        raise errors.AlreadySubscribed
    once = f"{user_id}:{key or secrets.token_hex(16)}"
    try:
        session_id, url = await gateway.checkout.create_session(
            await customer.ensure_customer_id(clients, user_id),
            price,
            body.success_url or back_to,
            body.cancel_url or body.success_url or back_to,
            hashlib.sha256(once.encode()).hexdigest(),
        )
    except IdempotencyKeyReused as error:
        raise errors.IdempotencyMismatch from error
    except StripeRejected as error:
        raise customer.as_unavailable(error) from error
    replayed = False
    if key is not None:
        async with clients.sessions.begin() as session:
            first = await idempotency.claim(session, user_id, key, hashed, session_id)
            replayed = first is not None
    return CheckoutView(id=session_id, url=url), replayed


def _select_price(prices: list[Price], body: CheckoutBody) -> Price:
    kind, name = ("pack", body.pack) if body.pack is not None else ("plan", body.plan)
    for price in prices:
        if (price.kind, price.name) == (kind, name):
            return price
    raise errors.BadInput(
        "That is not sold; see /v1/billing/packs.",
        errors=[{"loc": [kind], "msg": f"no such {kind}", "code": "not_found"}],
    )


async def _is_subscribed(clients: Clients, user_id: str) -> bool:
    async with clients.sessions() as session:
        subscription_id = await session.scalar(
            select(Subscription.id)
            .where(Subscription.user_id == user_id, Subscription.status.in_(PLAN_KEEPING_STATUSES))
            .limit(1)
        )
    return subscription_id is not None
