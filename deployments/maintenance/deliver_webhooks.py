"""Deliver webhooks to users' servers, which may be slow: nothing else waits for a delivery.

Rows are leased in one short transaction, sent outside of any, and confirmed or postponed in a
second one. An event is delivered at least once, and twice if this process ends between the answer
and the confirmation. Events of one job may overtake each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from opentelemetry.trace import SpanKind
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox import rows as outbox
from db.outbox import webhook_events, webhook_secrets
from db.tables import Batch, Job, Outbox, User
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.delivery_counts import count_delivery
from deployments.messaging.webhooks import (
    DeliveryResult,
    WebhookEvent,
    batch_event,
    job_event,
    send,
)
from deployments.retry import STORE_DOWN, retry_while_unavailable
from deployments.tracing import mark_failed, span

MAX_CONCURRENT = 32
# Eight users whose receivers never answer can fill all slots; fewer than that delay nobody else.
MAX_CONCURRENT_PER_USER = 4
POLL_INTERVAL_S = 1.0
# A round is shorter than the task's timeout, and the next round begins soon.
ROUND_SECONDS = 30.0
CONFIRM_TIMEOUT_S = 20.0

# The delays between the attempts; the last one repeats until the event is given up.
RETRY_DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
)
GIVE_UP_AFTER = timedelta(hours=24)
HTTP_GONE = 410

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Delivery:
    """An event to send: its row, what it is about (None: the account), URL and secrets."""

    row: Outbox
    about: Job | Batch | None
    user_id: str
    url: str
    secrets: list[str]


async def deliver_webhooks(context: MaintenanceContext) -> int:
    """Send due events for about ``ROUND_SECONDS``; returns how many were delivered."""
    now = asyncio.get_running_loop().time
    until, delivered = now() + ROUND_SECONDS, 0
    under_way: dict[asyncio.Task[bool], str] = {}
    try:
        while True:
            free_slots = MAX_CONCURRENT - len(under_way)
            if free_slots and now() < until:
                for delivery in await _lease_due(context, free_slots, Counter(under_way.values())):
                    sending = asyncio.create_task(_deliver(context, delivery))
                    under_way[sending] = delivery.user_id
            if not under_way:
                return delivered
            done, _ = await asyncio.wait(
                under_way, timeout=POLL_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                del under_way[task]
                delivered += task.result()
    except asyncio.CancelledError:
        for task in under_way:
            task.cancel()
        raise
    finally:
        await asyncio.gather(*under_way, return_exceptions=True)


async def _lease_due(
    context: MaintenanceContext, free_slots: int, under_way: Mapping[str, int]
) -> list[_Delivery]:
    if not await outbox.is_any_due(context.stores.statements, outbox.WEBHOOK):
        return []
    async with context.stores.sessions.begin() as session:
        rows = await webhook_events.lease_due(
            session, free_slots, MAX_CONCURRENT_PER_USER, under_way
        )
        if not rows:
            return []
        subjects = await _find_subjects(session, rows)
        owners = select(User).where(User.id.in_({row.payload["user_id"] for row in rows}))
        users = {user.id: user for user in await session.scalars(owners)}
        secrets = await webhook_secrets.ensure(session, users.keys())
        deliveries = []
        for row in rows:
            user = users[row.payload["user_id"]]
            named = _subject_id(row)
            about = subjects.get(named) if named else None
            # An event that names nothing is about the account's credits.
            its_url = about.webhook_url if about is not None else None
            url = user.low_balance_url if named is None else its_url
            if url is None:  # the job was erased, or the user removed the URL
                await webhook_events.confirm(session, row)
            else:
                signing = webhook_secrets.signing_secrets(secrets[user.id])
                deliveries.append(_Delivery(row, about, user.id, url, signing))
        return deliveries


def _subject_id(row: Outbox) -> str | None:
    named: str | None = row.payload.get("job_id") or row.payload.get("batch_id")
    return named


async def _find_subjects(session: AsyncSession, rows: Sequence[Outbox]) -> dict[str, Job | Batch]:
    """Return the jobs and batches that events are about, by id; those that were erased lack."""
    ids = {_subject_id(row) for row in rows}
    jobs = await session.scalars(select(Job).where(Job.id.in_(ids)))
    batches = await session.scalars(select(Batch).where(Batch.id.in_(ids)))
    return {one.id: one for one in (*jobs, *batches)}


async def _deliver(context: MaintenanceContext, delivery: _Delivery) -> bool:
    """Send one event; returns whether it was delivered.

    Never raises: an event whose row is not confirmed is sent again.
    """
    event_type = delivery.row.payload["type"]
    named = {
        name: delivery.row.payload[name]
        for name in ("job_id", "batch_id", "user_id")
        if name in delivery.row.payload
    }
    with structlog.contextvars.bound_contextvars(**named, event_type=event_type):
        try:
            result = await _traced(context, delivery, event_type)
            await retry_while_unavailable(
                "webhook", lambda: _record_result(context, delivery, result), CONFIRM_TIMEOUT_S
            )
        except STORE_DOWN as error:
            log.warning("webhook_not_confirmed", error=type(error).__name__)
            return False
        except Exception:
            log.exception("webhook_failed_here")  # and again when its lease has run out
            return False
        return result.delivered


async def _traced(
    context: MaintenanceContext, delivery: _Delivery, event_type: str
) -> DeliveryResult:
    """Send one event; its span belongs to the trace of its job."""
    traceparent = delivery.about.traceparent if isinstance(delivery.about, Job) else None
    attributes: dict[str, str | int] = {
        "atelier.event": event_type,
        "atelier.attempt": delivery.row.attempts,
    }
    with span("deliver webhook", traceparent, attributes, SpanKind.CLIENT) as delivering:
        result = await _send(context, delivery, event_type)
        if result.status is not None:
            delivering.set_attribute("http.response.status_code", result.status)
        if not result.delivered:
            mark_failed(delivering, str(result.status or "unreachable"))
        return result


async def _send(
    context: MaintenanceContext, delivery: _Delivery, event_type: str
) -> DeliveryResult:
    row, shared = delivery.row, context.shared
    match delivery.about:
        case None:
            data = row.payload["data"]
            event = WebhookEvent(f"msg_{row.id}_{event_type}", event_type, row.created_at, data)
        case Batch() as batch:
            event = batch_event(batch, event_type, row.created_at)
        case Job() as job:
            links_last = timedelta(seconds=shared.link_seconds)
            event = job_event(job, event_type, row.created_at, context.stores.objects, links_last)
    return await send(event, delivery.url, delivery.secrets, private=shared.fetch_private)


async def _record_result(
    context: MaintenanceContext, delivery: _Delivery, result: DeliveryResult
) -> None:
    row, error = delivery.row, result.error or "unknown"
    delay = RETRY_DELAYS[min(row.attempts, len(RETRY_DELAYS)) - 1]
    too_late = datetime.now(UTC) + delay > row.created_at + GIVE_UP_AFTER
    ends = too_late or result.status == HTTP_GONE
    async with context.stores.sessions.begin() as session:
        if result.delivered:
            await webhook_events.confirm(session, row)
        elif ends:
            await webhook_events.give_up(session, row, error)
        else:
            await webhook_events.postpone(session, row, delay, error)
    count_delivery(row, "delivered" if result.delivered else "given_up" if ends else "postponed")
    fields = {"attempt": row.attempts, "milliseconds": result.milliseconds}
    if result.delivered:
        log.info("webhook_delivered", **fields)
    elif ends:
        log.warning("webhook_given_up", error=error, **fields)
    else:
        log.info("webhook_postponed", error=error, again_in_s=delay.total_seconds(), **fields)
