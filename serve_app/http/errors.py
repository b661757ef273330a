"""Every error a client can meet; ``serve_app.http.problems`` turns them into RFC 9457 answers.

::

    Problem 500
    ├── InvalidSignature 400
    ├── Unauthorized 401
    │   └── WrongCredentials, OtpRequired, InvalidOtp, InvalidPasskey, InvalidToken
    ├── NotEnoughCredits 402
    ├── SpendingCapReached 402
    ├── OriginNotAllowed 403
    ├── PermissionMissing 403
    ├── RegistrationClosed 403
    ├── ScopeMissing 403
    ├── StorageQuotaExceeded 403
    ├── NotFound 404
    │   ├── BillingDisabled
    │   ├── MailDisabled
    │   └── PasskeysDisabled
    ├── RequestTimeout 408
    ├── Conflict 409
    │   ├── AlreadyResolved, AlreadySubscribed, EmailTaken, ExportRunning, JobNotFinal
    │   └── OwnAccount, SubscriptionActive, TooManyPasskeys, TotpEnabled
    ├── TooLarge 413
    ├── MediaTypeUnsupported 415
    ├── BadInput 422
    │   └── IdempotencyMismatch
    ├── RateLimited 429
    ├── TooManyStreams 429
    ├── TooManyWaiting 429
    ├── Draining 503
    └── Unavailable 503

The docstring of a class is the ``detail`` that the client reads, unless the caller gives another.
``when`` is the text for ``docs/api.md`` (``python -m scripts.error_codes --write``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12


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
    when: ClassVar[str] = "the service failed; send us the `X-Request-ID`"
    retryable: ClassVar[bool] = False

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

    status, code, title = 400, "invalid_signature", "Invalid signature"
    when = "Stripe's webhook is not signed, was altered, or is more than five minutes old"


class Unauthorized(Problem):
    """Send an access token or an API key: Authorization: Bearer ..., or X-API-Key."""

    status, code, title = 401, "unauthorized", "Unauthorized"
    when = "the request has no access token and no API key"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class WrongCredentials(Unauthorized):
    """E-mail or password is wrong."""

    code, title = "wrong_credentials", "Wrong credentials"
    when = "the e-mail address or the password is wrong"


class OtpRequired(Unauthorized):
    """This account has a second factor: send a code of its app, or a recovery code, as otp."""

    code, title = "otp_required", "Code required"
    when = "the password is right, and the account has a second factor; log in again with `otp`"


class InvalidOtp(Unauthorized):
    """The code is wrong, too old, or was used before."""

    code, title = "invalid_otp", "Invalid code"
    when = "the code of the second factor is wrong, too old, or was used before"


class InvalidPasskey(Unauthorized):
    """The answer of the passkey is not valid; ask for options again."""

    code, title = "invalid_passkey", "Invalid passkey"
    when = "the passkey is not known here, or its answer is late, used before, or not valid"


class InvalidToken(Unauthorized):
    """The token or key is wrong, expired or revoked."""

    code, title = "invalid_token", "Invalid token"
    when = "the token or key is expired, revoked or not ours: refresh it, or log in again"


class NotEnoughCredits(Problem):
    """The balance does not cover this job."""

    status, code, title = 402, "not_enough_credits", "Not enough credits"
    when = "the job costs `required`, the balance is `balance`"


class SpendingCapReached(Problem):
    """This key may not spend that much more this month."""

    status, code, title = 402, "spending_cap_reached", "Spending cap reached"
    when = "the job costs `required`; this key has spent `spent` of its `cap` this month"


class ScopeMissing(Problem):
    """This key may not do that."""

    status, code, title = 403, "scope_missing", "Scope missing"
    when = "the key lacks the scope that `detail` names"


class PermissionMissing(Problem):
    """Your role may not do that."""

    status, code, title = 403, "permission_missing", "Permission missing"
    when = "your role lacks `permission`"

    def __init__(self, permission: str) -> None:
        super().__init__(f"Your role lacks the permission {permission}.", permission=permission)


class OriginNotAllowed(Problem):
    """Pages of this origin may not call /mcp; the operator allows origins in CORS_ORIGINS."""

    status, code, title = 403, "origin_not_allowed", "Origin not allowed"
    when = "a page of another origin calls `/mcp`, and the operator has not allowed the origin"


class RegistrationClosed(Problem):
    """Accounts are made by the administrators here."""

    status, code, title = 403, "registration_closed", "Registration closed"
    when = "accounts are made by the administrators here; ask your operator for one"


class StorageQuotaExceeded(Problem):
    """Your files take all of the room that your plan has; delete some."""

    status, code, title = 403, "storage_quota_exceeded", "Storage quota exceeded"
    when = "your files take `used` bytes and may take `quota`: delete files or jobs, then try again"


class NotFound(Problem):
    """There is no such resource."""

    status, code, title = 404, "not_found", "Not found"
    when = "the resource does not exist, or belongs to somebody else"


class BillingDisabled(NotFound):
    """Payments are not set up here: credits come from the administrators."""

    code, title = "billing_disabled", "Billing disabled"
    when = "payments are not set up here; ask your operator for credits"


class MailDisabled(NotFound):
    """No mails are sent here: ask the administrators for a new password."""

    code, title = "mail_disabled", "Mail disabled"
    when = "no mails are sent here; ask your operator for a new password"


class PasskeysDisabled(NotFound):
    """Passkeys are not set up here: log in by your password."""

    code, title = "passkeys_disabled", "Passkeys disabled"
    when = "passkeys are not set up here; log in by your password"


class Conflict(Problem):
    """The request does not fit the present state."""

    status, code, title = 409, "conflict", "Conflict"
    when = "the present state does not allow the request"


class AlreadySubscribed(Conflict):
    """You have a plan; change it at the page that POST /v1/billing/portal opens."""

    code, title = "already_subscribed", "Already subscribed"
    when = "change the plan at the page of `POST /v1/billing/portal`"


class EmailTaken(Conflict):
    """Another account has this address."""

    code, title = "email_taken", "Address taken"
    when = "another account has the new e-mail address"


class ExportRunning(Conflict):
    """An export of your account is under way; wait for its end, or end it."""

    code, title = "export_running", "Export running"
    when = "an export of the account is under way; wait for its end"


class SubscriptionActive(Conflict):
    """You pay for a plan; cancel it first, at the page that POST /v1/billing/portal opens."""

    code, title = "subscription_active", "Subscription active"
    when = (
        "a plan would go on being paid; cancel it first, at the page of `POST /v1/billing/portal`"
    )


class OwnAccount(Conflict):
    """Nobody does this to their own account: ask another administrator."""

    code, title = "own_account", "Own account"
    when = (
        "nobody disables their own account or changes their own role, and no administrator "
        "deletes their own account: another one makes it a user first"
    )


class TooManyPasskeys(Conflict):
    """You have 20 passkeys; remove one first."""

    code, title = "too_many_passkeys", "Too many passkeys"
    when = "you have 20 passkeys; remove one first"


class TotpEnabled(Conflict):
    """Your account has a second factor; remove it first."""

    code, title = "totp_enabled", "Second factor enabled"
    when = "the account has a second factor; remove it first"


class JobNotFinal(Conflict):
    """The job has not ended; wait for it or cancel it first."""

    code, title = "job_not_final", "Job not final"
    when = "the job has not ended; wait for it, or cancel it first"


class UploadIncomplete(Conflict):
    """Parts of the upload are missing."""

    code, title = "upload_incomplete", "Upload incomplete"
    when = "parts of the upload are `missing`, or have another size; send them, then complete it"


class TooManyUploads(Conflict):
    """Too many of your uploads are not finished; complete or delete some."""

    code, title = "too_many_uploads", "Too many uploads"
    when = "100 of your uploads are not finished; complete or delete some, or wait a day"


class AlreadyResolved(Conflict):
    """The dead letter was retried or dropped before."""

    code, title = "already_resolved", "Already resolved"
    when = "the dead letter was retried or dropped before"


class RequestTimeout(Problem):
    """The body came too slowly."""

    status, code, title = 408, "request_timeout", "Request timeout"
    when = "the body comes too slowly, or not at all"
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Connection": "close"})


class TooLarge(Problem):
    """The body is larger than this service accepts."""

    status, code, title = 413, "too_large", "Too large"
    when = "the body is too large (more than 1 MiB unless your operator says otherwise)"


class MediaTypeUnsupported(Problem):
    """This call takes JSON: send it with Content-Type: application/json."""

    status, code, title = 415, "unsupported_media_type", "Media type not supported"
    when = "the call takes another `Content-Type`; `detail` says which"


class BadInput(Problem):
    """The input is not valid."""

    status, code, title = 422, "bad_input", "Bad input"
    when = "the input is not valid; `errors` lists the fields"


class IdempotencyMismatch(BadInput):
    """This Idempotency-Key was used with another body."""

    code, title = "idempotency_mismatch", "Idempotency key used before"
    when = "this `Idempotency-Key` was used with another body"


class RateLimited(Problem):
    """Too many requests; wait a moment."""

    status, code, title = 429, "rate_limited", "Too many requests"
    when = "too many requests; wait `Retry-After` seconds"
    retryable = True

    def __init__(self, retry_after_s: int, headers: Mapping[str, str] | None = None) -> None:
        own = {"Retry-After": str(max(1, retry_after_s))}
        super().__init__(headers={**(headers or {}), **own})


class TooManyWaiting(Problem):
    """You have too many jobs waiting; wait for some of them to start."""

    status, code, title = 429, "too_many_waiting", "Too many jobs waiting"
    when = "too many of your jobs wait (`GET /v1/limits`); wait `Retry-After` seconds"
    retryable = True

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": "30"})


class TooManyStreams(Problem):
    """You follow, or wait for, too many jobs at a time; end some of it."""

    status, code, title = 429, "too_many_streams", "Too many streams"
    when = (
        "too many of your event streams and `?wait=` are open (`GET /v1/limits`);"
        " wait `Retry-After` seconds"
    )
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


class Draining(Problem):
    """This generator accepts no jobs for now; those that wait are done."""

    status, code, title = 503, "draining", "Draining"
    when = "the generator accepts no jobs for now; wait `Retry-After` seconds"
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "60"})


class Unavailable(Problem):
    """A part of the service is not answering; try again soon."""

    status, code, title = 503, "unavailable", "Unavailable"
    when = "a store does not answer; wait `Retry-After` seconds"
    retryable = True

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


# Codes that come from FastAPI's own errors: the status, and when it is sent.
FRAMEWORK_CODES: dict[str, tuple[int, str]] = {
    "method_not_allowed": (405, "the address exists, but not for this method; see `Allow`"),
}
