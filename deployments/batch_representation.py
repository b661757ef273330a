"""The public representation of a batch, in HTTP answers and in webhooks."""

from __future__ import annotations

from typing import Any

from db.tables import Batch


def batch_representation(batch: Batch) -> dict[str, Any]:
    """Build the representation from the row."""
    ended = batch.succeeded + batch.failed + batch.canceled
    return {
        "id": batch.id,
        "object": "batch",
        "status": _status(batch),
        "priority": batch.priority,
        "counts": {
            "total": batch.total,
            "unfinished": batch.total - ended,
            "succeeded": batch.succeeded,
            "failed": batch.failed,
            "canceled": batch.canceled,
        },
        "cost": {
            "estimated": batch.credits_quoted,
            "charged": batch.credits_charged,
            "unit": "credit",
        },
        "results": f"/v1/batches/{batch.id}/results",
        "webhook_url": batch.webhook_url,
        "created_at": batch.created_at,
        "cancel_requested_at": batch.cancel_requested_at,
        "finished_at": batch.finished_at,
    }


def _status(batch: Batch) -> str:
    if batch.finished_at is not None:
        return "canceled" if batch.cancel_requested_at is not None else "completed"
    return "canceling" if batch.cancel_requested_at is not None else "in_progress"
