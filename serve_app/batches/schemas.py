"""A batch as clients read it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from serve_app.http.schemas import View
from serve_app.jobs.schemas import Priority

BatchStatus = Literal["in_progress", "canceling", "completed", "canceled"]


class BatchCountsView(View):
    """How many jobs of the batch there are, by how they ended."""

    total: int
    unfinished: int
    succeeded: int
    failed: int
    canceled: int


class BatchCostView(View):
    """Credits: quoted at submit and held; charged for the jobs that have ended."""

    estimated: int
    charged: int
    unit: Literal["credit"] = "credit"


class BatchView(View):
    """Many jobs that were submitted as one; `GET /v1/jobs?batch=` lists them."""

    id: str
    object: Literal["batch"] = "batch"
    status: BatchStatus
    priority: Priority
    counts: BatchCountsView
    cost: BatchCostView
    results: str = Field(description="The path of the jobs that ended, as JSON Lines.")
    webhook_url: str | None
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None
