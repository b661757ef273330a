"""Every refusal a client can meet; ``serve_app.http.problems`` turns them into RFC 9457 answers.

::

    Problem
    ├── SignatureRefused 400
    ├── NotKnown 401
    │   ├── WrongCredentials
    │   └── TokenRefused
    ├── NotEnoughCredits 402
    ├── SpendingCapReached 402
    ├── ScopeMissing 403
    ├── NotFound 404
    │   └── NothingSold
    ├── Conflict 409
    │   ├── AlreadySubscribed
    │   ├── EmailTaken
    │   └── NotFinal
    ├── TooLarge 413
    ├── MediaTypeUnsupported 415
    ├── BadInput 422
    │   └── IdempotencyMismatch
    ├── RateLimited 429
    └── Unavailable 503

A class's docstring is what the client reads unless the raiser says more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict


class FieldError(TypedDict):
    """One thing wrong with the input: where (a path of keys), in words, and a stable code."""

    loc: list[str | int]
    msg: str
    code: str


class Problem(Exception):
    """The request could not be answered."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(self.detail)


class InvalidSignature(Problem):
    """The body is not signed by who should have sent it, not lately, or was altered."""

    status, code, title = 400, "invalid_signature", "Signature refused"


class Unauthorized(Problem):
    """Send an access token or an API key: Authorization: Bearer ..., or X-API-Key."""

    status, code, title = 401, "unauthorized", "Not known"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class WrongCredentials(Unauthorized):
    """E-mail or password is wrong."""

    code, title = "wrong_credentials", "Wrong credentials"


class InvalidToken(Unauthorized):
    """The token or key is wrong, expired or revoked."""

    code, title = "invalid_token", "Token refused"


class NotEnoughCredits(Problem):
    """The balance does not cover this job."""

    status, code, title = 402, "not_enough_credits", "Not enough credits"


class SpendingCapReached(Problem):
    """This key may not spend that much more this month."""

    status, code, title = 402, "spending_cap_reached", "Spending cap reached"


class ScopeMissing(Problem):
    """This key may not do that."""

    status, code, title = 403, "scope_missing", "Scope missing"


class NotFound(Problem):
    """There is no such resource."""

    status, code, title = 404, "not_found", "Not found"


class BillingDisabled(NotFound):
    """Payments are not set up here: credits come from the administrators."""

    code, title = "billing_disabled", "Nothing is sold here"


class Conflict(Problem):
    """The request does not fit the present state."""

    status, code, title = 409, "conflict", "Conflict"


class EmailTaken(Conflict):
    """There is an account with this e-mail address."""

    code, title = "email_taken", "E-mail address taken"


class AlreadySubscribed(Conflict):
    """You have a plan; change it at the page that POST /v1/billing/portal opens."""

    code, title = "already_subscribed", "Already subscribed"


class JobNotFinal(Conflict):
    """The job has not ended; wait for it or cancel it first."""

    code, title = "job_not_final", "Job not final"


class AlreadyResolved(Conflict):
    """The dead letter was retried or dropped before."""

    code, title = "already_resolved", "Already resolved"


class TooLarge(Problem):
    """The body is larger than this service accepts."""

    status, code, title = 413, "too_large", "Too large"


class MediaTypeUnsupported(Problem):
    """This call takes application/json."""

    status, code, title = 415, "media_type_unsupported", "Media type not supported"


class BadInput(Problem):
    """The input is not valid."""

    status, code, title = 422, "bad_input", "Bad input"


class IdempotencyMismatch(BadInput):
    """This Idempotency-Key was used with another body."""

    code, title = "idempotency_mismatch", "Idempotency key used before"


class RateLimited(Problem):
    """Too many requests; wait a moment."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(headers={"Retry-After": str(max(1, retry_after_s))})


class TooManyWaiting(Problem):
    """You have too many jobs waiting; wait for some of them to start."""

    status, code, title = 429, "too_many_waiting", "Too many jobs waiting"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": "30"})


class Draining(Problem):
    """This generator accepts no jobs for now; those that wait are done."""

    status, code, title = 503, "draining", "Draining"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "60"})


class Unavailable(Problem):
    """A part of the service is not answering; try again soon."""

    status, code, title = 503, "unavailable", "Unavailable"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})
