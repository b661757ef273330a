"""Erase accounts that their owners deleted: jobs end, then objects, documents and rows go.

Every step may be done again, so that a round that was killed is completed by the next one. Objects
go before the rows that name them. An account is gone over in every round until it has been quiet
for a while: a request that was let in before the deletion may write something after the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from db.accounts import erasure
from db.jobs import transitions
from db.object_store import temp_key
from db.redis.client import delete_job_keys
from deployments.maintenance.context import MaintenanceContext
from deployments.retry import STORE_DOWN

AT_ONCE = 8
LIMIT = 100
PAGE = 200
# The slowest upload takes ten minutes; what a lost attempt leaves comes within five.
QUIET = timedelta(minutes=15)
# What one account may take of a round.
ACCOUNT_S = 120.0

log = structlog.get_logger(__name__)


async def erase_accounts(context: MaintenanceContext, quiet: timedelta = QUIET) -> int:
    """Erase deleted accounts whose jobs have ended; returns how many were completed.

    An account that cannot be erased is logged, and delays no other.
    """
    async with context.stores.sessions() as session:
        user_ids = await erasure.find_deleted(session, LIMIT)
    completed = 0
    for user_id in user_ids:
        try:
            async with asyncio.timeout(ACCOUNT_S):
                completed += await _erase(context, user_id, quiet)
        except TimeoutError:  # the next round goes on behind what was erased
            log.info("account_erasure_goes_on", user_id=user_id)
        except STORE_DOWN:
            raise
        except Exception:
            log.exception("account_not_erased", user_id=user_id)
    return completed


async def _erase(context: MaintenanceContext, user_id: str, quiet: timedelta) -> bool:
    """Erase what there is; returns whether that was the last round."""
    for folder in ("inputs", "outputs", "outputs/copies", "references", "temp"):
        await _erase_objects(context, f"{folder}/{user_id}/")
    after = ""
    while job_ids := await _next_jobs(context, user_id, after):
        await _erase_beside(context, job_ids)
        async with context.stores.sessions.begin() as session:
            await transitions.erase_all(session, user_id, job_ids)
        after = job_ids[-1]
    async with context.stores.sessions.begin() as session:
        await erasure.erase_rows(session, user_id)
        completed = await erasure.finish(session, user_id, quiet)
    if completed:
        log.info("account_erased", user_id=user_id)
    return completed


async def _next_jobs(context: MaintenanceContext, user_id: str, after: str) -> Sequence[str]:
    async with context.stores.sessions() as session:
        return await erasure.jobs_with_content(session, user_id, after, PAGE)


async def _erase_beside(context: MaintenanceContext, job_ids: Sequence[str]) -> None:
    """Erase what is kept of jobs beside their rows and outputs."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def erase(job_id: str) -> None:
        async with gate:
            await _erase_objects(context, temp_key(job_id, "-").removesuffix("-"))
            await context.stores.documents.delete(job_id)

    await asyncio.gather(*map(erase, job_ids))
    await delete_job_keys(context.stores.redis, job_ids)


async def _erase_objects(context: MaintenanceContext, prefix: str) -> None:
    keys = [stored.key for stored in await context.stores.objects.list(prefix)]
    for start in range(0, len(keys), PAGE):
        await context.stores.objects.delete(keys[start : start + PAGE])
