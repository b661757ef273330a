"""What is known of jobs that run: a hash a job, which its attempts write whole, each its own field.

No attempt overwrites what another has told, and one that tells again after Redis was wiped loses
nothing of its own. A report is read until it expires, or until the job's document has it all.
"""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

from db.redis.client import reports_key, translate_redis_errors

RETENTION_S = 24 * 3600
# So long after its document was written, for whoever looked for that a moment before.
RETENTION_AFTER_S = 60


async def write_report(redis: Redis, job_id: str, field: str, report: dict[str, Any]) -> None:
    """Set one field of the job's reports (JSON values).

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    key = reports_key(job_id)
    with translate_redis_errors():
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, field, json.dumps(report))
            pipe.expire(key, RETENTION_S)
            await pipe.execute()


async def read_reports(redis: Redis, job_id: str) -> dict[str, dict[str, Any]]:
    """Return the job's reports by field; raises StoreUnavailable."""
    with translate_redis_errors():
        found = await redis.hgetall(reports_key(job_id))
    return {str(field): json.loads(report) for field, report in found.items()}


async def expire_reports(redis: Redis, job_id: str) -> None:
    """Let the job's reports go soon; raises StoreUnavailable."""
    with translate_redis_errors():
        await redis.expire(reports_key(job_id), RETENTION_AFTER_S)
