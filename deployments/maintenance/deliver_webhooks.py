"""Deliver webhooks: slow work at other people's servers, so nothing of ours waits for it.

Rows are leased in one short transaction, sent outside of any, and confirmed or postponed in a
second one. An event is delivered at least once, and twice if the keeper dies between the answer and
the confirmation. Events of one job may overtake each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select

from db.outbox import webhook_events, webhook_secrets
from db.tables import Job, Outbox, User
from deployments.maintenance.context import MaintenanceContext
from deployments.messaging.retry import STORE_DOWN, retry_while_unavailable
from deployments.messaging.webhooks import DeliveryResult, WebhookEvent, job_event, send

MAX_CONCURRENT = 32
# Of one user: eight with receivers that never answer must come together to make others wait.
MAX_CONCURRENT_PER_USER = 4
POLL_INTERVAL_S = 1.0
# The task ends before its keeper would think it hangs, and begins again.
ROUND_SECONDS = 30.0
CONFIRM_TIMEOUT_S = 20.0

# Between the attempts; the last one again and again until the event is given up.
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
    """An event to send: its row, the job it is about (or none), where it goes, and what its
    receiver's webhooks are signed with."""

    row: Outbox
    job: Job | None
    user_id: str
    url: str
    secrets: list[str]


async def deliver_webhooks(context: MaintenanceContext) -> int:
    """Send what is due, and what becomes due meanwhile, for about ``ROUND_SECONDS``; returns how
    many
    events were delivered."""
    now = asyncio.get_running_loop().time
    until, delivered = now() + ROUND_SECONDS, 0
    under_way: dict[asyncio.Task[bool], str] = {}
    try:
        while True:
            room = MAX_CONCURRENT - len(under_way)
            if room and now() < until:
                for given in await _lease_due(context, room, Counter(under_way.values())):
                    sending = asyncio.create_task(_deliver(context, given))
                    under_way[sending] = given.user_id
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
    context: MaintenanceContext, room: int, under_way: Mapping[str, int]
) -> list[_Delivery]:
    async with context.stores.sessions.begin() as session:
        rows = await webhook_events.lease_due(session, room, MAX_CONCURRENT_PER_USER, under_way)
        if not rows:
            return []
        about = {row.payload["job_id"] for row in rows if "job_id" in row.payload}
        jobs = {job.id: job for job in await session.scalars(select(Job).where(Job.id.in_(about)))}
        people = select(User).where(User.id.in_({row.payload["user_id"] for row in rows}))
        users = {user.id: user for user in await session.scalars(people)}
        secrets = await webhook_secrets.ensure(session, users.keys())
        given = []
        for row in rows:
            user = users[row.payload["user_id"]]
            job = jobs.get(row.payload.get("job_id", ""))
            # What is about no job is about the account's credits.
            of_job = job.webhook_url if job is not None else None
            url = of_job if "job_id" in row.payload else user.low_balance_url
            if url is None:  # erased, or no longer wanted: there is nothing left to tell
                await webhook_events.confirm(session, row)
            else:
                signing = webhook_secrets.signing_secrets(secrets[user.id])
                given.append(_Delivery(row, job, user.id, url, signing))
        return given


async def _deliver(context: MaintenanceContext, given: _Delivery) -> bool:
    """Whether it was delivered. Never raises: a row that is not confirmed is sent again."""
    event_type = given.row.payload["type"]
    about = {"job_id": given.job.id} if given.job is not None else {"user_id": given.user_id}
    with structlog.contextvars.bound_contextvars(**about, event_type=event_type):
        try:
            receipt = await _send(context, given, event_type)
            await retry_while_unavailable(
                "webhook", lambda: _record_result(context, given, receipt), CONFIRM_TIMEOUT_S
            )
        except STORE_DOWN as error:
            log.warning("webhook_not_confirmed", error=type(error).__name__)
            return False
        except Exception:
            log.exception("webhook_failed_here")  # and again when its lease has run out
            return False
        return receipt.delivered


async def _send(context: MaintenanceContext, given: _Delivery, event_type: str) -> DeliveryResult:
    row, shared = given.row, context.shared
    if given.job is None:
        event = WebhookEvent(
            f"msg_{row.id}_{event_type}", event_type, row.created_at, row.payload["data"]
        )
    else:
        links_last = timedelta(seconds=shared.link_seconds)
        event = job_event(given.job, event_type, row.created_at, context.stores.objects, links_last)
    return await send(event, given.url, given.secrets, private=shared.fetch_private)


async def _record_result(
    context: MaintenanceContext, given: _Delivery, receipt: DeliveryResult
) -> None:
    row, error = given.row, receipt.error or "unknown"
    delay = RETRY_DELAYS[min(row.attempts, len(RETRY_DELAYS)) - 1]
    too_late = datetime.now(UTC) + delay > row.created_at + GIVE_UP_AFTER
    ends = too_late or receipt.status == HTTP_GONE
    async with context.stores.sessions.begin() as session:
        if receipt.delivered:
            await webhook_events.confirm(session, row)
        elif ends:
            await webhook_events.give_up(session, row, error)
        else:
            await webhook_events.postpone(session, row, delay, error)
    told = {"attempt": row.attempts, "milliseconds": receipt.milliseconds}
    if receipt.delivered:
        log.info("webhook_delivered", **told)
    elif ends:
        log.warning("webhook_given_up", error=error, **told)
    else:
        log.info("webhook_postponed", error=error, again_in_s=delay.total_seconds(), **told)
