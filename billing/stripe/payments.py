"""What Stripe says is paid, booked: credits for what was paid, taken back for what went back.

``StripeState`` are what Stripe has at one moment about one payment or one subscription. Booking
them is idempotent and cares for no order: what is booked already stays, what is missing is added.
So an event says only that something changed, and neither its content nor its turn matters.
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

# A plan is kept while Stripe still tries to collect: the next credits come only when it has.
PLAN_KEEPING_STATUSES = frozenset({"active", "trialing", "past_due"})


@dataclass(frozen=True)
class PaidItem:
    """A checkout session or an invoice that is paid.

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
    """A refund or a dispute; ``stands`` is false for one that failed or was won."""

    id: str
    kind: str
    payment_intent_id: str
    amount: int
    is_effective: bool
    created_at: datetime


@dataclass(frozen=True)
class SubscriptionState:
    """A subscription as it is now; ``plan`` by its name in billing.plans."""

    id: str
    plan: str
    status: str
    current_period_end: datetime | None
    cancel_at_period_end: bool


@dataclass(frozen=True)
class StripeState:
    """All about one customer's one payment, or one subscription with everything paid for it."""

    customer_id: str
    paid_items: tuple[PaidItem, ...] = ()
    reversals: tuple[StripeReversal, ...] = ()
    subscription: SubscriptionState | None = None


async def book(session: AsyncSession, facts: StripeState) -> bool:
    """Bring the books to what Stripe has; False if the customer is none of ours."""
    user_id = await session.scalar(
        select(StripeCustomer.user_id).where(StripeCustomer.customer_id == facts.customer_id)
    )
    if user_id is None:
        return False
    await ledger.lock_user(session, user_id)
    for paid in facts.paid_items:
        await _book_payment(session, user_id, paid)
    for gone in sorted(facts.reversals, key=lambda gone: (gone.created_at, gone.id)):
        await _book_reversal(session, user_id, gone)
    if facts.subscription is not None:
        await _record_subscription(session, user_id, facts.subscription)
    return True


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


async def _book_reversal(session: AsyncSession, user_id: str, gone: StripeReversal) -> None:
    payment = await session.scalar(
        select(Payment).where(
            Payment.payment_intent_id == gone.payment_intent_id, Payment.user_id == user_id
        )
    )
    if payment is None:  # it bought no credits
        return
    before = (
        await session.scalars(select(Reversal).where(Reversal.payment_id == payment.id))
    ).all()
    booked = next((one for one in before if one.id == gone.id), None)
    if booked is None and gone.is_effective:
        credits = _credits_to_take(
            payment, (one for one in before if one.undone_at is None), gone.amount
        )
        session.add(
            Reversal(
                id=gone.id, payment_id=payment.id, kind=gone.kind, credits=credits,
                amount=gone.amount,
            )
        )  # fmt: skip
        await session.flush()
        take = ledger.refund if gone.kind == "refund" else ledger.claw_back
        reason = f"{gone.kind} of {payment.offer}"
        await take(session, user_id, credits, f"stripe:{gone.id}", reason)
        log.info("reversal_booked", user_id=user_id, reversal=gone.id, credits=credits)
    elif booked is not None and not gone.is_effective and booked.undone_at is None:
        await session.execute(
            update(Reversal).where(Reversal.id == gone.id).values(undone_at=func.now())
        )
        key, reason = f"stripe:{gone.id}:undone", f"{gone.kind} of {payment.offer} undone"
        await ledger.purchase(session, user_id, booked.credits, key, reason)
        log.info("reversal_undone", user_id=user_id, reversal=gone.id, credits=booked.credits)


def _credits_to_take(payment: Payment, standing: Iterable[Reversal], amount: int) -> int:
    """The credits to take for ``amount`` more: as large a share of them as of the money.

    Rounded as a whole, so that parts of a payment come to exactly its credits; money that goes back
    twice (refunded, and disputed as well) takes no more than was bought.
    """
    there = list(standing)
    if payment.amount == 0:
        return 0
    money = min(payment.amount, amount + sum(one.amount for one in there))
    due = (2 * payment.credits * money + payment.amount) // (2 * payment.amount)
    return max(0, due - sum(one.credits for one in there))


async def _record_subscription(session: AsyncSession, user_id: str, now: SubscriptionState) -> None:
    """Keep what it is, and move the user's plan if this changes which one is paid for."""
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
    """The best plan that the user has a subscription for, or the default."""
    rows = await session.scalars(
        select(Subscription.plan).where(
            Subscription.user_id == user_id, Subscription.status.in_(PLAN_KEEPING_STATUSES)
        )
    )
    order = list(plans.PLANS)
    known = [plan for plan in rows if plan in plans.PLANS]
    return max(known, key=order.index, default=plans.DEFAULT.name)
