"""What is of no more use: leftovers of lost attempts, old temporary objects, spent rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import case, delete, func, or_, select

from db.object_store import ObjectStore
from db.tables import File, IdempotencyKey, Job, Outbox
from deployments.maintenance.context import MaintenanceContext

# Long enough for an attempt that was taken for lost to finish the upload it was at; every job is
# looked at in two rounds, in case one of them fails.
LEFTOVERS_AFTER = timedelta(minutes=5)
LEFTOVERS_UNTIL = timedelta(minutes=15)
ORPHANED_AFTER = timedelta(hours=1)
TEMP_KEPT = timedelta(days=1)
KEYS_KEPT = timedelta(hours=24)
DELIVERED_KEPT = timedelta(days=7)
GIVEN_UP_KEPT = timedelta(days=30)
PAGE = 200

log = structlog.get_logger(__name__)


async def sweep_leftovers(
    context: MaintenanceContext,
    after: timedelta = LEFTOVERS_AFTER,
    until: timedelta = LEFTOVERS_UNTIL,
) -> int:
    """Erase output objects that ended jobs do not name; returns how many.

    Looks at jobs that ended between ``until`` and ``after`` ago and can have any: those that took
    several attempts, and those without outputs.
    """
    query = (
        select(Job.id, Job.user_id, Job.outputs)
        .where(
            Job.finished_at.between(func.now() - until, func.now() - after),
            or_(Job.attempt > 1, (Job.status != "succeeded") & (Job.attempt > 0)),
        )
        .order_by(Job.id)
        .limit(PAGE)
    )
    swept, last = 0, ""
    while True:
        async with context.stores.sessions() as session:
            found = (await session.execute(query.where(Job.id > last))).all()
        for job_id, user_id, outputs in found:
            kept = {output["object_key"] for output in outputs}
            swept += await _erase_others(
                context.stores.objects, f"outputs/{user_id}/{job_id}/", kept
            )
        if len(found) < PAGE:
            break
        last = found[-1].id
    if swept:
        log.info("leftovers_swept", objects=swept)
    return swept


async def _erase_others(objects: ObjectStore, prefix: str, kept: set[str]) -> int:
    others = {stored.key for stored in await objects.list(prefix)} - kept
    if others:
        await objects.delete(others)
    return len(others)


async def sweep_temp(context: MaintenanceContext, kept: timedelta = TEMP_KEPT) -> int:
    """Erase old temporary objects, for backends whose lifecycle rules do not; returns how many."""
    limit = datetime.now(UTC) - kept
    objects = context.stores.objects
    old = [
        stored.key
        for stored in await objects.list("temp/")
        if stored.modified is not None and stored.modified < limit
    ]
    if old:
        await objects.delete(old)
        log.info("temp_swept", objects=len(old))
    return len(old)


async def sweep_orphans(context: MaintenanceContext, after: timedelta = ORPHANED_AFTER) -> int:
    """Erase uploads and inputs that no row names: their request died before its transaction."""
    limit = datetime.now(UTC) - after
    objects, swept = context.stores.objects, 0
    for prefix in ("inputs/", "references/"):
        old = [
            stored.key
            for stored in await objects.list(prefix)
            if stored.modified is not None and stored.modified < limit
        ]
        for start in range(0, len(old), PAGE):
            keys = old[start : start + PAGE]
            async with context.stores.sessions() as session:
                known = set(
                    await session.scalars(select(File.object_key).where(File.object_key.in_(keys)))
                )
            orphans = set(keys) - known
            if orphans:
                await objects.delete(orphans)
                swept += len(orphans)
    if swept:
        log.info("orphans_swept", objects=swept)
    return swept


async def sweep_rows(context: MaintenanceContext) -> int:
    """Delete idempotency keys past their day and outbox rows delivered, or given up, long ago."""
    kept = case((Outbox.error.is_(None), DELIVERED_KEPT), else_=GIVEN_UP_KEPT)
    async with context.stores.sessions.begin() as session:
        keys = await session.execute(
            delete(IdempotencyKey)
            .where(IdempotencyKey.created_at < func.now() - KEYS_KEPT)
            .returning(IdempotencyKey.id)
        )
        rows = await session.execute(
            delete(Outbox).where(Outbox.done_at < func.now() - kept).returning(Outbox.id)
        )
        return len(keys.all()) + len(rows.all())
