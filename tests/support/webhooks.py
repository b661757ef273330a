"""Webhook events in the outbox, and maintenance that may send them to this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text, update

from billing.settlement import Settlement, settle
from db.outbox import rows as outbox
from db.outbox import webhook_secrets
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job, Outbox
from deployments.maintenance.context import MaintenanceContext
from deployments.settings import SharedSettings
from tests.support.jobs import read, submit
from tests.support.maintenance import kept
from tests.support.scribe import SPEC
from tests.support.stores import opened


@asynccontextmanager
async def sending(settings: StoreSettings, redis_url: str) -> AsyncIterator[MaintenanceContext]:
    """A house that sends to addresses that are not public, too."""
    shared = SharedSettings(ATELIER_FETCH_PRIVATE=True)
    async with opened(settings) as stores, kept(stores, redis_url) as maintenance:
        yield dataclasses.replace(maintenance, shared=shared)


async def end(sessions: Sessions, job: Job, status: str, **more: Any) -> Job:
    async with sessions.begin() as session:
        ended = await settle(session, job, Settlement(status, **more))
    assert ended is not None
    return ended


async def canceled(sessions: Sessions, user_id: str, url: str) -> str:
    """A job that ended, with one event to tell of it."""
    job_id = await submit(sessions, SPEC, user_id, webhook_url=url, text="x")
    await end(sessions, await read(sessions, job_id), "canceled")
    return job_id


async def rows(sessions: Sessions) -> list[Outbox]:
    query = select(Outbox).where(Outbox.topic == outbox.WEBHOOK).order_by(Outbox.id)
    async with sessions() as session:
        return list(await session.scalars(query))


async def row(sessions: Sessions) -> Outbox:
    (only,) = await rows(sessions)
    return only


async def make_due(sessions: Sessions, **more: Any) -> None:
    """As if the time until the next attempt, or of a lease, had passed."""
    values = {"available_at": datetime.now(UTC) - timedelta(seconds=1), **more}
    async with sessions.begin() as session:
        await session.execute(update(Outbox).where(Outbox.done_at.is_(None)).values(**values))


async def secret_of(sessions: Sessions, user_id: str) -> str:
    async with sessions.begin() as session:
        return (await webhook_secrets.ensure(session, [user_id]))[user_id].secret


async def again_in(sessions: Sessions) -> timedelta:
    return (await row(sessions)).available_at - datetime.now(UTC)


async def open_transactions(sessions: Sessions) -> int:
    """Connections that have held a transaction open for half a second without using it."""
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        " AND state_change < now() - interval '0.5 s'"
    )
    async with sessions() as session:
        return int(await session.scalar(text(idle)) or 0)
