"""A job that ended without a result, as the problem of a request that waited for its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.http.errors import Problem


class JobFailed(Problem):
    """The job failed."""

    status, code, title = 500, "server_error", "The job failed"


class JobRefused(Problem):
    """The job failed for what it was asked for."""

    status, code, title = 400, "job_failed", "The job failed"


def failure(error: Mapping[str, Any] | None, status: str) -> JobFailed | JobRefused:
    """Return the problem of a job that ended as ``status`` with ``error``, and without a result.

    Its member ``job_code`` is the job's own code.
    """
    if status == "canceled":
        return JobRefused("The job was canceled.", job_code="canceled")
    if error is None:
        return JobFailed("The job failed.", job_code="server_error")
    of = JobFailed if error["retryable"] else JobRefused
    return of(error["detail"], job_code=error["code"])
