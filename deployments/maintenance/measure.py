"""Read what only the stores know, and set the gauges: how much waits, since when, who answers."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.operations import backups, measurements
from db.redis.client import ping
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.expire_jobs import MAX_WAIT
from metrics import catalog
from metrics.labels import LABELS
from metrics.sink import repeat_kept

PROBE_TIMEOUT_S = 5.0
# Maintenance ends such jobs itself. What is left after that is stuck.
STUCK_WAIT = max(MAX_WAIT.values()) + timedelta(hours=1)
STUCK_SILENCE = timedelta(minutes=10)

log = structlog.get_logger(__name__)


async def probe_stores(context: MaintenanceContext) -> int:
    """Ask every store for an answer and time it; returns how many answered."""
    stores = context.stores
    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "postgres": lambda: _ping_postgres(context),
        "redis": lambda: ping(stores.redis),
        "objects": stores.objects.ping,
        "documents": lambda: stores.documents.get("probe"),
    }
    answered = await asyncio.gather(*(_probe(store, ask) for store, ask in probes.items()))
    _measure_disks(context)
    return sum(answered)


async def measure(context: MaintenanceContext) -> int:
    """Set the gauges of what waits; returns how many jobs do.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: Postgres did not answer; the gauges keep their values, and
            ``atelier_measured_timestamp_seconds`` shows since when.
    """
    repeat_kept()  # what tasks that run a few times an hour have found
    async with context.stores.sessions() as session:
        waiting = await _measure_jobs(session, tuple(context.queues))
        await _measure_deliveries(session)
        await _measure_backups(session)
    catalog.MEASURED.set(time.time())
    return waiting


async def _measure_jobs(session: AsyncSession, generators: tuple[str, ...]) -> int:
    waiting = await measurements.waiting_jobs(session, generators)
    for name, found in waiting.items():
        catalog.JOBS_WAITING.set(found.rows, generator=name)
        catalog.OLDEST_WAITING.set(found.oldest_s, generator=name)
    for name, rows in (await measurements.deferred_jobs(session, generators)).items():
        catalog.JOBS_DEFERRED.set(rows, generator=name)
    for name, rows in (await measurements.running_jobs(session, generators)).items():
        catalog.JOBS_RUNNING.set(rows, generator=name)
    for name, rows in (await measurements.dead_letters(session, generators)).items():
        catalog.DEAD_LETTERS.set(rows, generator=name)
    catalog.CREDITS_HELD.set(await measurements.credits_held(session))
    stuck = await measurements.stuck_holds(session, STUCK_WAIT, STUCK_SILENCE)
    catalog.STUCK_HOLDS.set(stuck)
    return sum(found.rows for found in waiting.values())


async def _measure_deliveries(session: AsyncSession) -> None:
    undelivered = await measurements.undelivered(session, LABELS["topic"].values)
    for topic, found in undelivered.items():
        catalog.OUTBOX_WAITING.set(found.rows, topic=topic)
        catalog.OUTBOX_OLDEST.set(found.oldest_s, topic=topic)
        catalog.OUTBOX_LATE.set(found.late_s, topic=topic)
    inbox = await measurements.stripe_inbox(session)
    catalog.STRIPE_WAITING.set(inbox.rows)
    catalog.STRIPE_LAG.set(inbox.oldest_s)


async def _measure_backups(session: AsyncSession) -> None:
    for kind, age in (await backups.ages(session)).items():
        if age is not None:  # a kind that never went well has no age; the alerts look for that
            catalog.BACKUP_AGE.set(age.total_seconds(), backup=kind)


async def _probe(store: str, ask: Callable[[], Awaitable[object]]) -> bool:
    catalog.STORE_ERRORS.start(store=store)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await ask()
    except Exception as error:
        log.warning("store_probe_failed", store=store, error=type(error).__name__)
        catalog.STORE_ERRORS.inc(store=store)
        catalog.STORE_UP.set(0, store=store)
        return False
    catalog.STORE_SECONDS.observe(time.perf_counter() - started, store=store)
    catalog.STORE_UP.set(1, store=store)
    return True


async def _ping_postgres(context: MaintenanceContext) -> None:
    async with context.stores.sessions() as session:
        await session.execute(text("SELECT 1"))


def _measure_disks(context: MaintenanceContext) -> None:
    work = context.shared.work_dir or Path(tempfile.gettempdir())
    folders = {"work": work, "data": context.shared.data_dir}
    for what, folder in folders.items():
        if folder is not None and folder.is_dir():
            disk = shutil.disk_usage(folder)
            catalog.DISK_FREE.set(disk.free, folder=what)
            catalog.DISK_SIZE.set(disk.total, folder=what)
