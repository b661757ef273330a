"""Jobs: submit, read, wait, cancel, retry, erase, and save what they made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import Field

from atelier_client.calls import Answer, Call, Flow, Page, ask, creation, tell
from atelier_client.downloads import download, place_in
from atelier_client.drivers import TIMEOUT, Connection, SyncDriver
from atelier_client.errors import JobFailed, WaitTimedOut
from atelier_client.files import upload_paths
from atelier_client.prices import PriceLine
from atelier_client.retries import Retries

Status = Literal["queued", "running", "succeeded", "failed", "canceled"]
Priority = Literal["high", "normal", "low"]

LONGEST_WAIT_S = 60.0  # that the service answers after


class Output(Answer):
    """A file that a job made; ``url`` is a signed link, which works until ``expires_at``."""

    name: str
    kind: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    duration_s: float | None
    sha256: str
    url: str
    expires_at: datetime

    def save(self, path: Path | str) -> Path:
        """Save the file as ``path``, or under its own name if that is a folder.

        It is checked against its SHA-256, and needs no client. It blocks: beside an
        ``AsyncClient``, use ``await client.save(output, path)``.
        """
        with httpx.Client(timeout=TIMEOUT) as http:
            return SyncDriver(http, Connection("", None, Retries())).run(save_output(self, path))


class JobError(Answer):
    """Why a job failed; ``retryable`` if the same input may work another time."""

    code: str
    title: str
    detail: str
    retryable: bool


class Cost(Answer):
    """Credits: quoted at submit and held; charged when the job ended (None before)."""

    estimated: int
    charged: int | None
    unit: Literal["credit"] = "credit"
    breakdown: list[PriceLine]
    price_version: str


class Job(Answer):
    """A job."""

    id: str
    object: Literal["job"] = "job"
    generator: str
    status: Status
    progress: float = Field(description="0 to 1.")
    stage: str
    queue_position: int | None = Field(
        description="How many jobs are served before it; None when it does not wait or is unknown."
    )
    input: dict[str, Any]
    seed: int
    attempt: int
    outputs: list[Output]
    error: JobError | None
    cost: Cost
    priority: Priority
    batch_id: str | None = None
    cached_from: str | None = Field(
        default=None, description="The job whose outputs these are copies of."
    )
    cancel_at: datetime | None = Field(
        default=None, description="When it is canceled unless it has ended."
    )
    webhook_url: str | None
    metadata: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status not in ("queued", "running")

    def require_success(self) -> Job:
        """Return the job itself; raises ``JobFailed`` if it failed or was canceled."""
        if self.status in ("failed", "canceled"):
            raise JobFailed(self)
        return self


class LogLine(Answer):
    """A line of a job's log."""

    time: datetime
    level: Literal["info", "warning", "error"]
    message: str
    attempt: int


class JobMetadata(Answer):
    """How a job is made: stages with seconds, models, seed, and the last lines of its log.

    While it runs, they are what is known so far, and the stage at work has no ``seconds`` yet.
    """

    job_id: str
    metadata: dict[str, Any]
    logs: list[LogLine]


def create_job(
    generator: str,
    input: Mapping[str, Any],
    *,
    priority: Priority = "normal",
    metadata: Mapping[str, str | float | bool | None] | None = None,
    webhook_url: str | None = None,
    cancel_after: timedelta | None = None,
    idempotency_key: str | None = None,
) -> Flow[Job]:
    """Submit a job; its price is held until it ends. After ``cancel_after`` it is canceled.

    Local files in the input (``pathlib.Path``) are uploaded first. Jobs with one
    ``idempotency_key`` (random if left out) and one input are one job, for 24 hours.
    """
    body = {
        "generator": generator,
        "input": (yield from upload_paths(input)),
        "priority": priority,
        "metadata": dict(metadata or {}),
        "webhook_url": webhook_url,
    }
    call = creation("/v1/jobs", body, idempotency_key)
    if cancel_after is not None:
        seconds = round(cancel_after.total_seconds())
        call = replace(call, headers={**call.headers, "Cancel-After": f"{seconds}s"})
    return (yield from ask(call, Job))


def get_job(job_id: str, *, wait_s: float = 0) -> Flow[Job]:
    """A job, with fresh links; answers when it is final, or after ``wait_s`` (60 at most)."""
    params = {"wait": wait_s or None}
    return (yield from ask(Call("GET", f"/v1/jobs/{job_id}", params=params), Job))


def list_jobs(
    *,
    status: Status | None = None,
    generator: str | None = None,
    batch: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Flow[Page[Job]]:
    """Your jobs, newest first; ``batch`` is the id of one. Times have an offset."""
    params = {
        "status": status,
        "generator": generator,
        "batch": batch,
        "created_after": created_after and created_after.isoformat(),
        "created_before": created_before and created_before.isoformat(),
        "limit": limit,
        "after": after,
    }
    return (yield from ask(Call("GET", "/v1/jobs", params=params), Page[Job]))


def wait_for_job(job_id: str, *, timeout_s: float | None = None) -> Flow[Job]:
    """Wait until a job has ended, well or not.

    Raises:
        WaitTimedOut: it has not ended after ``timeout_s``; it goes on.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = LONGEST_WAIT_S if until is None else until - time.monotonic()
        job = yield from get_job(job_id, wait_s=min(max(left_s, 0), LONGEST_WAIT_S))
        if job.is_final:
            return job
        if until is not None and time.monotonic() >= until:
            raise WaitTimedOut(job)


def cancel_job(job_id: str) -> Flow[Job]:
    """Cancel a job: a waiting one ends and costs nothing, a running one is asked to stop."""
    return (yield from ask(Call("POST", f"/v1/jobs/{job_id}/cancel"), Job))


def retry_job(
    job_id: str, *, scene: int | None = None, idempotency_key: str | None = None
) -> Flow[Job]:
    """A new job with the input and seed of one that ended, at today's price.

    With ``scene`` (from 1): that scene of a film made anew, and the film cut again.
    """
    body = {} if scene is None else {"scene": scene}
    return (yield from ask(creation(f"/v1/jobs/{job_id}/retry", body, idempotency_key), Job))


def delete_job(job_id: str) -> Flow[None]:
    """Erase a job that ended: its input, outputs and metadata."""
    yield from tell(Call("DELETE", f"/v1/jobs/{job_id}"))


def get_job_metadata(job_id: str) -> Flow[JobMetadata]:
    """How a job is made, so far: stages with seconds, models, seed, and its log."""
    return (yield from ask(Call("GET", f"/v1/jobs/{job_id}/metadata"), JobMetadata))


def save_output(output: Output, path: Path | str) -> Flow[Path]:
    """Save an output as ``path``, or under its own name if that is a folder; returns where it is.

    It is checked against its SHA-256. Its link works for a while: ``jobs.save`` fetches a fresh
    one where that is over.
    """
    return (yield from download(output.url, output.sha256, place_in(path, output.name)))


def save_job(job: Job, folder: Path | str) -> Flow[list[Path]]:
    """Save all outputs of a job under their names into ``folder``, which is made if need be."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if any(output.expires_at <= datetime.now(UTC) for output in job.outputs):
        job = yield from get_job(job.id)
    saved = []
    for output in job.outputs:
        saved.append((yield from save_output(output, folder)))
    return saved


def run_job(
    generator: str,
    input: Mapping[str, Any],
    *,
    priority: Priority = "normal",
    metadata: Mapping[str, str | float | bool | None] | None = None,
    idempotency_key: str | None = None,
    timeout_s: float | None = None,
) -> Flow[Job]:
    """Submit a job, wait for it and return it with its ``outputs``.

    Raises:
        JobFailed: it failed or was canceled.
        WaitTimedOut: it has not ended after ``timeout_s``; it goes on.
    """
    job = yield from create_job(
        generator, input, priority=priority, metadata=metadata, idempotency_key=idempotency_key
    )
    job = yield from wait_for_job(job.id, timeout_s=timeout_s)
    return job.require_success()
