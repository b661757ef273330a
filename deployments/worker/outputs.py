"""Store the files of an attempt.

An upload waits about a minute for a bucket that is down, while the heartbeat keeps the lease. After
that the row stays "running": its lease expires, and maintenance starts another attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db.object_store import output_key
from db.tables import Job
from deployments.contract import Artifact
from deployments.retry import retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext, StopReason

STORE_TIMEOUT_S = 60.0


async def upload_outputs(
    stores: Stores, job: Job, context: RunContext, artifacts: Sequence[Artifact]
) -> list[dict[str, Any]]:
    """Store the files under keys that contain the attempt's number; returns the job's ``outputs``.

    Raises:
        AttemptLost: another attempt owns the job; maintenance deletes the files already stored.
        StoreUnavailable: the bucket could not be reached for a minute.
    """
    return [await _upload_output(stores, job, context, artifact) for artifact in artifacts]


async def _upload_output(
    stores: Stores, job: Job, context: RunContext, artifact: Artifact
) -> dict[str, Any]:
    name = artifact.path.name
    key = output_key(job.user_id, job.id, job.attempt, name)

    async def put() -> tuple[str, int]:
        check_owned(context)
        return await stores.objects.put_file(key, artifact.path, artifact.content_type)

    sha256, size = await retry_while_unavailable(
        "upload", put, STORE_TIMEOUT_S, stop_if=lambda: context.stop_reason is StopReason.LOST
    )
    return {
        "name": name,
        "kind": artifact.kind,
        "content_type": artifact.content_type,
        "bytes": size,
        "width": artifact.width,
        "height": artifact.height,
        "duration_s": artifact.duration_s,
        "sha256": sha256,
        "object_key": key,
    }


def check_owned(context: RunContext) -> None:
    """Raise :class:`AttemptLost` if another attempt owns the job."""
    if context.stop_reason is StopReason.LOST:
        raise AttemptLost
