"""What can go wrong.

::

    AtelierError
      ConnectionFailed       no answer came
      DownloadCorrupted      a file differs from what the service said of it
      InvalidWebhook         a webhook is not signed, was altered, or is too old
      JobFailed              a job failed or was canceled
      WaitTimedOut           a job has not ended in the time that it was given
      BatchTimedOut          a batch has not ended in the time that it was given
      ApiError               the service refused the request
        BadInput             400, 413, 415, 422
        Unauthorized         401
        NotEnoughCredits     402
        Forbidden            403
        NotFound             404
        Conflict             409
        RateLimited          429
        Unavailable          502, 503, 504
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from atelier_client.batches import Batch
    from atelier_client.jobs import Job


class AtelierError(Exception):
    """Base of all errors of this package."""

    # Whether the same request may work in a moment, and in how many seconds if that is known.
    temporary: bool = False
    retry_after_s: float | None = None


class ConnectionFailed(AtelierError):
    """No answer came: the service is down, unknown, or the connection broke."""

    def __init__(self, call: str, cause: httpx.TransportError) -> None:
        super().__init__(f"{call}: {cause or type(cause).__name__}")
        # The others are mistakes in the address or in a header.
        self.temporary = not isinstance(cause, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


class DownloadCorrupted(AtelierError):
    """A downloaded file differs from what the service said of it; it was not kept."""


class InvalidWebhook(AtelierError):
    """A webhook is not signed with the secret, was altered, or is too old."""


class JobFailed(AtelierError):
    """A job failed or was canceled; ``job`` is the job, ``job.error`` says why it failed."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.detail}" if job.error else ""
        super().__init__(f"{job.id} is {job.status}{reason}")
        self.job = job


class WaitTimedOut(AtelierError, TimeoutError):
    """A job has not ended in the time that it was given; it goes on. ``job`` is its last state."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is still {job.status}")
        self.job = job


class BatchTimedOut(AtelierError, TimeoutError):
    """A batch has not ended in the time that it was given; it goes on. ``batch`` is its last
    state."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"{batch.counts.unfinished} jobs of {batch.id} have not ended")
        self.batch = batch


class ApiError(AtelierError):
    """The service refused a request. What was refused changed nothing.

    ``code``, ``title``, ``detail`` and ``errors`` (``{loc, msg, code}`` for each field that is
    wrong) are those of the problem document; ``problem`` is all of it. ``code`` is empty if the
    answer came from a proxy. Operators find ``request_id`` in their logs.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.problem: Mapping[str, Any] = _problem(response)
        self.status = response.status_code
        self.code = str(self.problem.get("code", ""))
        self.title = str(self.problem.get("title") or response.reason_phrase)
        self.detail = str(self.problem.get("detail") or "")
        self.errors: list[dict[str, Any]] = list(self.problem.get("errors") or ())
        self.request_id = response.headers.get("x-request-id")
        self.retry_after_s = _retry_after(response)
        super().__init__(f"{self.status} {self.title}: {describe_problem(self.problem)}")


class BadInput(ApiError):
    """The request is not valid; ``errors`` lists the fields."""


class Unauthorized(ApiError):
    """There is no key, or it does not work."""


class NotEnoughCredits(ApiError):
    """The job costs more than there is: more than the balance, or than the cap of the key."""

    @property
    def required(self) -> int | None:
        """What the job costs, in credits."""
        return self.problem.get("required")

    @property
    def balance(self) -> int | None:
        """What the account has, in credits; None if the cap of the key is what is reached."""
        return self.problem.get("balance")


class Forbidden(ApiError):
    """The key lacks the scope that ``detail`` names."""


class NotFound(ApiError):
    """There is no such thing, or it belongs to somebody else."""


class Conflict(ApiError):
    """The present state does not allow the request."""


class RateLimited(ApiError):
    """Too many requests, waiting jobs or streams; ``retry_after_s`` says when to come back."""

    temporary = True


class Unavailable(ApiError):
    """The service, or something behind it, does not answer now."""

    temporary = True


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadInput, 401: Unauthorized, 402: NotEnoughCredits, 403: Forbidden, 404: NotFound,
    409: Conflict, 413: BadInput, 415: BadInput, 422: BadInput, 429: RateLimited,
    502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


def api_error(response: httpx.Response) -> ApiError:
    """Return the error that an answer of 300 or above is."""
    return _BY_STATUS.get(response.status_code, ApiError)(response)


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Say what a problem document says: every field with its reason, or else the detail."""
    faults = [
        ": ".join((*([".".join(map(str, one["loc"]))] if one["loc"] else []), one["msg"]))
        for one in problem.get("errors") or ()
    ]
    return "; ".join(faults) or str(problem.get("detail") or problem.get("title") or "no reason")


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": response.text[:200].strip()}


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``, which proxies also write as a date."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
