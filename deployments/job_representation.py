"""The public representation of a job, in HTTP answers and in webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from db.object_store import ObjectStore
from db.tables import FINAL_STATUSES, Job

_OUTPUT_FIELDS = (
    "name", "kind", "content_type", "bytes", "width", "height", "duration_s", "sha256",
)  # fmt: skip


def job_representation(
    job: Job, objects: ObjectStore, links_last: timedelta, since: datetime | None = None
) -> dict[str, Any]:
    """Build the representation from the row. ``queue_position`` stays None: only Redis has it.

    Links work for ``links_last``, from ``since`` or from now.
    """
    begins = since or datetime.now(UTC)
    charged = job.credits_charged if job.status in FINAL_STATUSES else None
    return {
        "id": job.id,
        "object": "job",
        "generator": job.generator,
        "status": job.status,
        "progress": job.progress,
        "stage": job.stage,
        "queue_position": None,
        "input": job.input,
        "seed": job.seed,
        "attempt": job.attempt,
        "outputs": [_output_view(output, objects, links_last, begins) for output in job.outputs],
        "error": job.error,
        "cost": {
            "estimated": job.credits_quoted,
            "charged": charged,
            "unit": "credit",
            "breakdown": job.quote,
            "price_version": job.price_version,
        },
        "priority": job.priority,
        "batch_id": job.batch_id,
        "cached_from": job.cached_from,
        "cancel_at": job.cancel_at,
        "webhook_url": job.webhook_url,
        "metadata": job.user_metadata,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _output_view(
    output: dict[str, Any], objects: ObjectStore, lasts: timedelta, begins: datetime
) -> dict[str, Any]:
    url = objects.presign_get(
        output["object_key"], lasts, content_type=output["content_type"], since=begins
    )
    fields = {name: output.get(name) for name in _OUTPUT_FIELDS}
    return {**fields, "url": url, "expires_at": begins + lasts}
