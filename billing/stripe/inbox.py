"""The inbox of Stripe's events: each is stored once and processed until the ledger agrees.

An event only triggers a read: the payment or subscription is fetched from Stripe under a lock, and
booked in the transaction that marks the event as processed. So duplicate, late, reordered and
missing events (see ``catch_up``) make no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from billing.stripe import payments
from billing.stripe.client import StripeRejected
from billing.stripe.events import Event
from billing.stripe.gateway import StripeGateway
from billing.stripe.payments import StripeState
from db.errors import StoreUnavailable
from db.session import Sessions, transact
from db.tables import StripeEvent, Watermark

log = structlog.get_logger(__name__)

EVENT_TYPES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "invoice.paid",
    "invoice.payment_failed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
)
RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(hours=1),
)
GIVE_UP_AFTER = timedelta(days=3)
# Read again at each catch-up: events appear in Stripe's list with some delay.
OVERLAP = timedelta(minutes=10)
# How far the first catch-up goes back.
INITIAL_LOOKBACK = timedelta(days=3)
WATERMARK_NAME = "stripe_events"

# Fields of events with data of cards, banks or persons, or with secrets.
REDACTED_FIELDS = frozenset(
    {
        "payment_method_details", "payment_method", "default_payment_method", "billing_details",
        "card", "bank_account", "source", "default_source", "client_secret",
        "customer_details", "customer_email", "customer_name", "customer_address",
        "customer_phone", "customer_shipping", "customer_tax_ids", "email", "name", "phone",
        "address", "shipping", "shipping_details", "receipt_email", "receipt_url", "url",
        "hosted_invoice_url", "invoice_pdf", "last_payment_error", "evidence", "fingerprint",
        "last4", "collected_information", "confirmation_secret",
    }
)  # fmt: skip


async def store_event(session: AsyncSession, event: Event) -> bool:
    """Store an event; returns False if it is stored already."""
    added = await session.scalar(
        insert(StripeEvent)
        .values(
            id=event.id,
            type=event.type,
            object_id=event.object_id,
            payload=redact(event.body),
            occurred_at=event.occurred_at,
        )
        .on_conflict_do_nothing(index_elements=[StripeEvent.id])
        .returning(StripeEvent.id)
    )
    return added is not None


def redact(value: Any) -> Any:
    """Return the event without ``REDACTED_FIELDS``, at any depth."""
    if isinstance(value, Mapping):
        return {key: redact(inner) for key, inner in value.items() if key not in REDACTED_FIELDS}
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    # The SDK converts the decimal strings of a webhook.
    return str(value) if isinstance(value, Decimal) else value


_NEXT = (
    select(StripeEvent.id)
    .where(StripeEvent.processed_at.is_(None), StripeEvent.available_at <= func.now())
    .order_by(StripeEvent.available_at, StripeEvent.id)
    .limit(1)
)


async def process_next(sessions: Sessions, gateway: StripeGateway) -> str | None:
    """Process one event that is due; returns its id, or None if there is none."""
    async with sessions() as session:
        event_id = await session.scalar(_NEXT)
    if event_id is not None:
        await process(sessions, gateway, event_id)
    return event_id


async def process(sessions: Sessions, gateway: StripeGateway, event_id: str) -> str | None:
    """Process an event; returns its outcome, or None if it waits for a retry."""

    async def work(session: AsyncSession) -> str | None:
        event = await session.scalar(
            select(StripeEvent).where(StripeEvent.id == event_id).with_for_update()
        )
        if event is None or event.processed_at is not None:
            return event.outcome if event else None
        event.outcome = await _outcome(session, gateway, event)
        event.processed_at = datetime.now(UTC)
        event.attempts += 1
        event.error = None
        return event.outcome

    try:
        outcome = await transact(sessions, work)
    except (StoreUnavailable, StripeRejected) as error:
        await _postpone(sessions, event_id, str(error))
        return None
    except Exception as error:
        # No error may block the events behind this one.
        await _postpone(sessions, event_id, type(error).__name__)
        raise
    log.info("stripe_event_processed", event_id=event_id, outcome=outcome)
    return outcome


async def replay(sessions: Sessions, gateway: StripeGateway, event_id: str) -> str | None:
    """Process an event again, whatever its outcome; fetches it if it is not stored."""
    async with sessions.begin() as session:
        await session.execute(
            update(StripeEvent)
            .where(StripeEvent.id == event_id)
            .values(processed_at=None, outcome=None, error=None, available_at=func.now())
        )
        stored = await session.get(StripeEvent, event_id)
    if stored is None:
        event = await gateway.events.get(event_id)
        if event is None:
            return None
        async with sessions.begin() as session:
            await store_event(session, event)
    return await process(sessions, gateway, event_id)


async def catch_up(sessions: Sessions, gateway: StripeGateway) -> int:
    """Store events that were missed since the last catch-up; returns how many."""
    began = datetime.now(UTC)
    async with sessions() as session:
        last = await session.scalar(select(Watermark.at).where(Watermark.name == WATERMARK_NAME))
    since = last - OVERLAP if last else began - INITIAL_LOOKBACK
    events = await gateway.events.since(since, EVENT_TYPES)
    async with sessions.begin() as session:
        missed = sum([await store_event(session, event) for event in events])
        await session.execute(
            insert(Watermark)
            .values(name=WATERMARK_NAME, at=began)
            .on_conflict_do_update(
                index_elements=[Watermark.name],
                set_={"at": func.greatest(Watermark.at, began)},
            )
        )
    if missed:
        log.info("stripe_events_caught_up", missed=missed)
    return missed


async def _outcome(session: AsyncSession, gateway: StripeGateway, event: StripeEvent) -> str:
    if event.type not in EVENT_TYPES:
        return "ignored"
    about = event.payload["data"]["object"]
    # The state must not change between the read and the booking: events of one payment (refunds and
    # disputes name it, too) and of one customer's subscriptions are processed one at a time.
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:of, 0))"),
        {"of": f"stripe:{about.get('payment_intent') or about.get('customer')}"},
    )
    state = await _fetch_state(gateway, event.type, about)
    if state is None or not await payments.book(session, state):
        return "not_ours"
    return "applied"


async def _fetch_state(
    gateway: StripeGateway, event_type: str, about: Mapping[str, Any]
) -> StripeState | None:
    if event_type.startswith("checkout.session."):
        return await gateway.state.session(about["id"])
    if event_type.startswith("invoice."):
        return await gateway.state.invoice(about["id"])
    if event_type.startswith("customer.subscription."):
        return await gateway.state.subscription(about["id"])
    return await gateway.state.payment(about.get("payment_intent"))


async def _postpone(sessions: Sessions, event_id: str, error: str) -> None:
    async with sessions.begin() as session:
        event = await session.scalar(
            select(StripeEvent)
            .where(StripeEvent.id == event_id, StripeEvent.processed_at.is_(None))
            .with_for_update()
        )
        if event is None:
            return
        delay = RETRY_AFTER[min(event.attempts, len(RETRY_AFTER) - 1)]
        event.attempts += 1
        event.error = error[:200]
        event.available_at = datetime.now(UTC) + delay
        if event.received_at + GIVE_UP_AFTER < event.available_at:
            event.processed_at, event.outcome = datetime.now(UTC), "failed"
            log.error("stripe_event_given_up", event_id=event_id, error=event.error)
        else:
            log.warning("stripe_event_waits", event_id=event_id, error=event.error)
