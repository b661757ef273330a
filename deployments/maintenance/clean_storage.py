"""Delete files of lost attempts, old temporary objects, unused uploads, and old rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import case, delete, func, or_, select

from db.object_store import COPIES, ObjectStore
from db.tables import File, IdempotencyKey, Job, Outbox
from deployments.maintenance.context import MaintenanceContext

# Long enough for an attempt that only seemed lost to finish its upload. Every job is checked in two
# rounds, in case one of them fails.
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
    """Delete output files that no ended job names; returns how many.

    Checks the jobs that ended between ``until`` and ``after`` ago and may have such files: those
    with several attempts, and those that did not succeed.
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
            jobs = (await session.execute(query.where(Job.id > last))).all()
        for job_id, user_id, outputs in jobs:
            named_keys = {output["object_key"] for output in outputs}
            swept += await _erase_others(
                context.stores.objects, f"outputs/{user_id}/{job_id}/", named_keys
            )
        if len(jobs) < PAGE:
            break
        last = jobs[-1].id
    if swept:
        log.info("leftovers_swept", objects=swept)
    return swept


async def _erase_others(objects: ObjectStore, prefix: str, keep: set[str]) -> int:
    others = {stored.key for stored in await objects.list(prefix)} - keep
    if others:
        await objects.delete(others)
    return len(others)


async def sweep_temp(context: MaintenanceContext, retention: timedelta = TEMP_KEPT) -> int:
    """Delete old temporary objects, for buckets without lifecycle rules; returns how many."""
    limit = datetime.now(UTC) - retention
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
    """Delete uploads, inputs and copied outputs that no row names.

    Their request ended before it committed.
    """
    limit = datetime.now(UTC) - after
    objects, swept = context.stores.objects, 0
    for prefix in ("inputs/", "references/", COPIES):
        old = [
            stored.key
            for stored in await objects.list(prefix)
            if stored.modified is not None and stored.modified < limit
        ]
        for start in range(0, len(old), PAGE):
            keys = old[start : start + PAGE]
            async with context.stores.sessions() as session:
                named_keys = set(
                    await session.scalars(select(File.object_key).where(File.object_key.in_(keys)))
                )
            orphans = set(keys) - named_keys
            if orphans:
                await objects.delete(orphans)
                swept += len(orphans)
    if swept:
        log.info("orphans_swept", objects=swept)
    return swept


async def sweep_rows(context: MaintenanceContext) -> int:
    """Delete old idempotency keys, and outbox rows delivered or given up long ago."""
    retention = case((Outbox.error.is_(None), DELIVERED_KEPT), else_=GIVEN_UP_KEPT)
    async with context.stores.sessions.begin() as session:
        keys = await session.execute(
            delete(IdempotencyKey)
            .where(IdempotencyKey.created_at < func.now() - KEYS_KEPT)
            .returning(IdempotencyKey.id)
        )
        rows = await session.execute(
            delete(Outbox).where(Outbox.done_at < func.now() - retention).returning(Outbox.id)
        )
        return len(keys.all()) + len(rows.all())
