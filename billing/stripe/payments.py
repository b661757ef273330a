"""Book the state of Stripe: credits for payments, and credits taken for refunds and disputes.

A ``StripeState`` is the state of one payment or one subscription at one moment. Booking it is
idempotent and independent of order: booked items stay, missing ones are added. So an event only
says that something changed; its content and its order do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing import concurrency, ledger, plans
from db.tables import Payment, Reversal, StripeCustomer, Subscription, User

log = structlog.get_logger(__name__)

# A plan stays while Stripe retries a payment; its next credits come with the payment.
PLAN_KEEPING_STATUSES = frozenset({"active", "trialing", "past_due"})
ENDED_STATUSES = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True)
class PaidItem:
    """A paid checkout session or invoice.

    ``amount`` is in the smallest unit. ``credits`` are below zero where an invoice credits more of
    a plan than it charges for another.
    """

    id: str
    payment_intent_id: str | None
    offer: str
    credits: int
    amount: int
    currency: str
    paid_at: datetime


@dataclass(frozen=True)
class StripeReversal:
    """A refund or a dispute; ``is_effective`` is false if it failed or was won."""

    id: str
    kind: str
    payment_intent_id: str
    amount: int
    is_effective: bool
    created_at: datetime


@dataclass(frozen=True)
class SubscriptionState:
    """The state of a subscription; ``plan`` is a name of billing.plans."""

    id: str
    plan: str
    status: str
    current_period_end: datetime | None
    cancel_at_period_end: bool


@dataclass(frozen=True)
class StripeState:
    """One payment of a customer, or one subscription with all its paid invoices."""

    customer_id: str
    paid_items: tuple[PaidItem, ...] = ()
    reversals: tuple[StripeReversal, ...] = ()
    subscription: SubscriptionState | None = None


async def book(session: AsyncSession, state: StripeState) -> bool:
    """Book the state; returns False if the customer is unknown here."""
    user_id = await session.scalar(
        select(StripeCustomer.user_id).where(StripeCustomer.customer_id == state.customer_id)
    )
    if user_id is None:
        return False
    account = await ledger.lock_user(session, user_id)
    if account.deleted and state.subscription is not None and _goes_on(state.subscription):
        # Paid on a page that was open when the account was deleted: to be canceled by hand.
        found = {"user_id": user_id, "subscription": state.subscription.id}
        log.error("subscription_of_deleted_account", **found)
    for paid in state.paid_items:
        await _book_payment(session, user_id, paid)
    for reversal in sorted(
        state.reversals, key=lambda reversal: (reversal.created_at, reversal.id)
    ):
        await _book_reversal(session, user_id, reversal)
    if state.subscription is not None:
        await _record_subscription(session, user_id, state.subscription)
    return True


def _goes_on(subscription: SubscriptionState) -> bool:
    return subscription.status not in ENDED_STATUSES and not subscription.cancel_at_period_end


async def _book_payment(session: AsyncSession, user_id: str, paid: PaidItem) -> None:
    added = await session.scalar(
        insert(Payment)
        .values(
            id=paid.id,
            user_id=user_id,
            payment_intent_id=paid.payment_intent_id,
            offer=paid.offer,
            credits=paid.credits,
            amount=paid.amount,
            currency=paid.currency,
            paid_at=paid.paid_at,
        )
        .on_conflict_do_nothing(index_elements=[Payment.id])
        .returning(Payment.id)
    )
    if added is None:
        return
    key = f"stripe:{paid.id}"
    if paid.credits >= 0:
        await ledger.purchase(session, user_id, paid.credits, key, paid.offer)
    else:
        reason = f"unused part of a plan, changed to {paid.offer}"
        await ledger.refund(session, user_id, -paid.credits, key, reason)
    log.info("payment_booked", user_id=user_id, payment=paid.id, credits=paid.credits)


async def _book_reversal(session: AsyncSession, user_id: str, reversal: StripeReversal) -> None:
    payment = await session.scalar(
        select(Payment).where(
            Payment.payment_intent_id == reversal.payment_intent_id, Payment.user_id == user_id
        )
    )
    if payment is None:  # it bought no credits
        return
    earlier = (
        await session.scalars(select(Reversal).where(Reversal.payment_id == payment.id))
    ).all()
    booked = next((row for row in earlier if row.id == reversal.id), None)
    if booked is None and reversal.is_effective:
        credits = _credits_to_take(
            payment, (row for row in earlier if row.undone_at is None), reversal.amount
        )
        session.add(
            Reversal(
                id=reversal.id, payment_id=payment.id, kind=reversal.kind, credits=credits,
                amount=reversal.amount,
            )
        )  # fmt: skip
        await session.flush()
        take = ledger.refund if reversal.kind == "refund" else ledger.claw_back
        reason = f"{reversal.kind} of {payment.offer}"
        await take(session, user_id, credits, f"stripe:{reversal.id}", reason)
        log.info("reversal_booked", user_id=user_id, reversal=reversal.id, credits=credits)
    elif booked is not None and not reversal.is_effective and booked.undone_at is None:
        await session.execute(
            update(Reversal).where(Reversal.id == reversal.id).values(undone_at=func.now())
        )
        key, reason = f"stripe:{reversal.id}:undone", f"{reversal.kind} of {payment.offer} undone"
        await ledger.purchase(session, user_id, booked.credits, key, reason)
        log.info("reversal_undone", user_id=user_id, reversal=reversal.id, credits=booked.credits)


def _credits_to_take(payment: Payment, effective: Iterable[Reversal], amount: int) -> int:
    """Return the credits to take for ``amount`` more: the same share of them as of the money.

    The sum is rounded, so that parts of a payment add up to exactly its credits. Money that goes
    back twice (refunded, and disputed as well) takes no more credits than were bought.
    """
    effective = list(effective)
    if payment.amount == 0:
        return 0
    money = min(payment.amount, amount + sum(reversal.amount for reversal in effective))
    due = (2 * payment.credits * money + payment.amount) // (2 * payment.amount)
    return max(0, due - sum(reversal.credits for reversal in effective))


async def _record_subscription(session: AsyncSession, user_id: str, now: SubscriptionState) -> None:
    """Record the subscription, and change the user's plan if another one is paid for now."""
    before = await _paid_plan(session, user_id)
    values = {
        "user_id": user_id,
        "plan": now.plan,
        "status": now.status,
        "current_period_end": now.current_period_end,
        "cancel_at_period_end": now.cancel_at_period_end,
    }
    await session.execute(
        insert(Subscription)
        .values(id=now.id, **values)
        .on_conflict_do_update(
            index_elements=[Subscription.id], set_={**values, "updated_at": func.now()}
        )
    )
    after = await _paid_plan(session, user_id)
    if after != before:
        await session.execute(update(User).where(User.id == user_id).values(plan=after))
        await concurrency.resume_deferred(session, user_id)
        log.info("plan_changed", user_id=user_id, plan=after)


async def _paid_plan(session: AsyncSession, user_id: str) -> str:
    """Return the best plan that the user has a subscription for, or the default."""
    rows = await session.scalars(
        select(Subscription.plan).where(
            Subscription.user_id == user_id, Subscription.status.in_(PLAN_KEEPING_STATUSES)
        )
    )
    order = list(plans.PLANS)
    known = [plan for plan in rows if plan in plans.PLANS]
    return max(known, key=order.index, default=plans.DEFAULT.name)
