"""The books against Stripe: what was paid there and is not booked here, and the other way round.

Nothing is changed. What is missing here is booked by ``stripe_events catch-up`` or ``replay``; what
is here and not there needs a person.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.reconcile import Difference
from billing.stripe.gateway import StripeGateway
from billing.stripe.payments import PaidItem, StripeReversal, StripeState, SubscriptionState
from db.tables import Payment, Reversal, StripeCustomer, Subscription


async def reconcile_with_stripe(
    session: AsyncSession, gateway: StripeGateway, since: datetime
) -> list[Difference]:
    """Everything sold from ``since`` on, compared both ways.

    Raises:
        StoreUnavailable: Stripe does not answer.
    """
    found: list[Difference] = []
    seen: set[str] = set()
    async for facts in gateway.state.everything_since(since):
        ours = await session.scalar(
            select(StripeCustomer.user_id).where(StripeCustomer.customer_id == facts.customer_id)
        )
        if ours is None:
            continue
        seen |= {paid.id for paid in facts.paid_items} | {gone.id for gone in facts.reversals}
        found += await _compare_state(session, facts)
    found += await _missing_at_stripe(session, since, seen)
    return sorted(set(found), key=lambda one: (one.check, one.row))


async def _compare_state(session: AsyncSession, facts: StripeState) -> list[Difference]:
    found = []
    for paid in facts.paid_items:
        found += await _compare_payment(session, paid)
    for gone in facts.reversals:
        found += await _compare_reversal(session, gone)
    if facts.subscription is not None:
        found += await _compare_subscription(session, facts.subscription)
    return found


async def _compare_payment(session: AsyncSession, paid: PaidItem) -> list[Difference]:
    row = await session.get(Payment, paid.id)
    if row is None:
        words = f"{paid.credits} credits are paid at Stripe and not booked"
        return [Difference("paid_not_booked", paid.id, words)]
    there = (paid.credits, paid.amount, paid.currency)
    here = (row.credits, row.amount, row.currency)
    if here != there:
        return [Difference("payment_differs", paid.id, f"booked {here}, at Stripe {there}")]
    return []


async def _compare_reversal(session: AsyncSession, gone: StripeReversal) -> list[Difference]:
    row = await session.get(Reversal, gone.id)
    if gone.is_effective and (row is None or row.undone_at is not None):
        words = f"{gone.amount} went back at Stripe, and no credits for it here"
        return [Difference("reversal_not_booked", gone.id, words)]
    if not gone.is_effective and row is not None and row.undone_at is None:
        words = f"it does not stand at Stripe, and {row.credits} credits are taken for it"
        return [Difference("reversal_not_undone", gone.id, words)]
    return []


async def _compare_subscription(session: AsyncSession, now: SubscriptionState) -> list[Difference]:
    row = await session.get(Subscription, now.id)
    here = (row.plan, row.status, row.cancel_at_period_end) if row else None
    there = (now.plan, now.status, now.cancel_at_period_end)
    if here != there:
        return [Difference("subscription_differs", now.id, f"here {here}, at Stripe {there}")]
    return []


async def _missing_at_stripe(
    session: AsyncSession, since: datetime, seen: set[str]
) -> list[Difference]:
    payments = await session.scalars(select(Payment.id).where(Payment.paid_at >= since))
    reversals = await session.scalars(
        select(Reversal.id).join(Payment).where(Payment.paid_at >= since)
    )
    return [
        Difference("not_at_stripe", row, "booked here, and Stripe has no such thing")
        for row in [*payments, *reversals]
        if row not in seen
    ]
