"""Compare the ledger with Stripe: payments that are not booked, and bookings without a payment.

Nothing is changed. ``stripe_events catch-up`` or ``replay`` books missing payments; a booking that
Stripe does not have needs a person.
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
    """Compare everything sold from ``since`` on, both ways.

    Raises:
        StoreUnavailable: Stripe does not answer.
    """
    differences: list[Difference] = []
    seen: set[str] = set()
    async for state in gateway.state.everything_since(since):
        user_id = await session.scalar(
            select(StripeCustomer.user_id).where(StripeCustomer.customer_id == state.customer_id)
        )
        if user_id is None:
            continue
        seen |= {paid.id for paid in state.paid_items} | {
            reversal.id for reversal in state.reversals
        }
        differences += await _compare_state(session, state)
    differences += await _missing_at_stripe(session, since, seen)
    return sorted(set(differences), key=lambda difference: (difference.check, difference.row))


async def _compare_state(session: AsyncSession, state: StripeState) -> list[Difference]:
    differences = []
    for paid in state.paid_items:
        differences += await _compare_payment(session, paid)
    for reversal in state.reversals:
        differences += await _compare_reversal(session, reversal)
    if state.subscription is not None:
        differences += await _compare_subscription(session, state.subscription)
    return differences


async def _compare_payment(session: AsyncSession, paid: PaidItem) -> list[Difference]:
    row = await session.get(Payment, paid.id)
    if row is None:
        words = f"{paid.credits} credits are paid at Stripe and not booked"
        return [Difference("paid_not_booked", paid.id, words)]
    at_stripe = (paid.credits, paid.amount, paid.currency)
    booked = (row.credits, row.amount, row.currency)
    if booked != at_stripe:
        return [Difference("payment_differs", paid.id, f"booked {booked}, at Stripe {at_stripe}")]
    return []


async def _compare_reversal(session: AsyncSession, reversal: StripeReversal) -> list[Difference]:
    row = await session.get(Reversal, reversal.id)
    if reversal.is_effective and (row is None or row.undone_at is not None):
        words = f"{reversal.amount} went back at Stripe, and no credits for it here"
        return [Difference("reversal_not_booked", reversal.id, words)]
    if not reversal.is_effective and row is not None and row.undone_at is None:
        words = f"it does not stand at Stripe, and {row.credits} credits are taken for it"
        return [Difference("reversal_not_undone", reversal.id, words)]
    return []


async def _compare_subscription(session: AsyncSession, now: SubscriptionState) -> list[Difference]:
    row = await session.get(Subscription, now.id)
    booked = (row.plan, row.status, row.cancel_at_period_end) if row else None
    at_stripe = (now.plan, now.status, now.cancel_at_period_end)
    if booked != at_stripe:
        return [Difference("subscription_differs", now.id, f"here {booked}, at Stripe {at_stripe}")]
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
