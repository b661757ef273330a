"""Submit a job: check, quote, ONE transaction (hold + job + outbox), then push it to the queue."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import fair_share, ledger, plans, prices
from db.errors import StoreUnavailable
from db.ids import new_id
from db.jobs import fair_queue, queries
from db.jobs.queue_messages import insert_with_message
from db.operations.audit_log import JobAudit
from db.session import Sessions
from db.tables import File, Job
from deployments.contract import GeneratorSpec, Request
from deployments.references import find_references
from models.profiles.load import Profile
from serve_app.auth.identity import Identity
from serve_app.http import errors, idempotency
from serve_app.http.problems import field_errors
from serve_app.jobs import result_cache
from serve_app.jobs.acceptance import (
    CheckedInput,
    check_account,
    check_room_for_one,
    new_job,
    refusals,
)
from serve_app.jobs.inputs import check_references, store_inline_files
from serve_app.jobs.schemas import SubmitBody
from serve_app.limits.storage import check_inserted
from serve_app.resources import Clients
from serve_app.settings import LimitSettings
from serve_app.webhooks.address import check_url

log = structlog.get_logger()

# What an input that is valid may be refused for.
SUBMISSION_REFUSALS = (
    errors.NotEnoughCredits,
    errors.SpendingCapReached,
    errors.TooManyWaiting,
    errors.Draining,
    errors.StorageQuotaExceeded,
)
SEED_COUNT = 2**32
# The job is committed by then, so the client does not wait for a slow queue.
PUSH_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Submission:
    """A job; ``replayed`` if an earlier request with the same Idempotency-Key created it.

    ``pushed`` if the queue has it; if not, maintenance pushes it. ``position`` is its place there.
    """

    job: Job
    replayed: bool = False
    pushed: bool = False
    position: int | None = None


def check_input(
    spec: GeneratorSpec[Any],
    raw_input: dict[str, Any],
    plan: str,
    profile: Profile | None,
    *,
    in_batch: bool = False,
) -> CheckedInput:
    """Validate an input and quote its price for a user with ``plan``, or as part of a batch.

    Raises BadInput with every invalid field, located under ``input``, and with every one that the
    models of ``profile`` cannot follow.
    """
    try:
        request: Request = spec.request.model_validate(raw_input)
    except ValidationError as error:
        invalid = field_errors(error.errors(include_url=False, include_input=False), ("input",))
        raise errors.BadInput(f"The input of {spec.name} is not valid.", errors=invalid) from error
    seed = secrets.randbelow(SEED_COUNT) if request.seed is None else request.seed
    if not 0 <= seed < SEED_COUNT:
        raise errors.BadInput(
            errors=[
                {"loc": ["input", "seed"], "msg": "must be 0 to 2^32 - 1", "code": "out_of_range"}
            ]
        )
    if profile is not None and spec.unsupported is not None:
        _check_supported(spec, spec.unsupported(request, profile))
    stored_input = {**request.model_dump(mode="json", exclude_unset=True), "seed": seed}
    full = spec.price(request)
    lines = prices.apply_discounts(full, plans.discount_percent(plan), in_batch=in_batch)
    return CheckedInput(request, stored_input, seed, lines, prices.total(full))


def _check_supported(spec: GeneratorSpec[Any], unsupported: Mapping[str, str]) -> None:
    refused: list[errors.FieldError] = [
        {"loc": ["input", *field.split(".")], "msg": reason, "code": "not_supported"}
        for field, reason in unsupported.items()
    ]
    if refused:
        raise errors.BadInput(
            f"The installed models of {spec.name} cannot do what the input asks for.",
            errors=refused,
        )


async def submit(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    idempotency_key: str | None,
    request_id: str,
    cancel_after: timedelta | None = None,
    audit: JobAudit | None = None,
    *,
    fresh: bool = False,
) -> Submission:
    """Accept a job, or refuse it and change nothing. It is canceled after that time.

    ``audit`` gets the new job, but none that an earlier request made. Where results are kept, the
    job may have succeeded already with that of an earlier one, but not if it has to be ``fresh``.

    Raises:
        BadInput: no such generator, the input is not valid, or the webhook's address is refused.
        NotEnoughCredits: the balance does not cover the quote.
        SpendingCapReached: the API key may not spend that much more this month.
        IdempotencyMismatch: the key was used with another body.
        NotFound: the key made a job that was deleted since.
        TooManyWaiting: the user has reached the limit of waiting jobs.
        Draining: the generator accepts no jobs for now.
        StorageQuotaExceeded: the user's files take all of the plan's room.
    """
    spec = clients.catalog.get(body.generator)
    if spec is None:
        raise errors.BadInput(
            "There is no such generator; see /v1/generators.",
            errors=[{"loc": ["generator"], "msg": "no such generator", "code": "not_found"}],
        )
    checked = check_input(spec, body.input, identity.plan, clients.profile)
    if body.webhook_url is not None:
        check_url(clients, body.webhook_url, "webhook_url")
    key = None
    may_copy = not fresh and result_cache.within(clients) is not None
    if idempotency_key:
        key = await asyncio.to_thread(_idempotent, idempotency_key, body)
        # What the first request named may be deleted by now, and nothing is copied in vain.
        if may_copy or find_references(checked.request):
            first = await _find_replayed(clients.statements, identity.user_id, key)
            if first is not None:
                return Submission(first, replayed=True)
    named = await check_references(clients, identity.user_id, checked.request)
    job_id = new_id("job")
    stored_input, inline_files = await store_inline_files(
        clients, identity.user_id, job_id, checked.request, checked.input
    )
    job = new_job(job_id, identity, spec, body, checked, stored_input, request_id)
    if cancel_after is not None:
        job.cancel_at = datetime.now(UTC) + cancel_after
    copy = None
    if may_copy and (result := await result_cache.key_of(clients, spec, checked, named)):
        found = await result_cache.find_copies(clients, identity.user_id, [(job, result)])
        copy = found.get(job.id)
    if copy is not None:
        copied = await _insert_copy(clients, job, copy, inline_files, key, audit)
        if copied is not None:
            return copied
    with refusals("job"):
        bounds = clients.settings.limits
        done = await _insert_job(
            clients.sessions, job, checked.full_price, inline_files, key, bounds, audit
        )
    if done.replayed:
        return done
    clients.metrics.submitted.inc(generator=spec.name)
    log.info("job_submitted", job_id=job.id, generator=spec.name, credits=checked.credits)
    return await _pushed(clients, done.job)


@dataclass(frozen=True)
class _IdempotentRequest:
    key: str
    hashed: str


def _idempotent(key: str, body: SubmitBody) -> _IdempotentRequest:
    """It may carry pictures, and is called in a thread."""
    fields = body.model_dump(mode="json")
    return _IdempotentRequest(key, idempotency.body_hash("POST /v1/jobs", fields))


async def _find_replayed(sessions: Sessions, user_id: str, key: _IdempotentRequest) -> Job | None:
    """Return the job that an earlier request with this key created."""
    async with sessions() as session:
        first_id = await idempotency.find(session, user_id, key.key, key.hashed)
        return await _load_replayed(session, first_id, user_id) if first_id else None


async def _load_replayed(session: AsyncSession, job_id: str, user_id: str) -> Job:
    job = await queries.get_owned(session, job_id, user_id)
    if job is None:
        raise errors.NotFound("The job that this Idempotency-Key made was deleted.")
    return job


async def _insert_copy(
    clients: Clients,
    job: Job,
    copy: result_cache.Copy,
    inline_files: Sequence[File],
    key: _IdempotentRequest | None,
    audit: JobAudit | None,
) -> Submission | None:
    """Insert the job as one that has succeeded; None if the job that was copied was erased."""
    try:
        async with clients.sessions.begin() as session:
            done = await _claim_key(session, job, key)
            if done is None:
                check_account(await ledger.lock_user(session, job.user_id))
                if not await result_cache.lock(session, job.user_id, [copy]):
                    raise result_cache.SourceErased
                limits = clients.settings.limits
                await result_cache.end(session, limits, [(job, copy)])
                session.add(job)
                await session.flush()
                await _add_inline(session, limits, job.user_id, inline_files)
                await result_cache.tell(session, [job])
                if audit is not None:
                    await audit(session, job)
    except result_cache.SourceErased:
        await result_cache.discard(clients, [copy])
        result_cache.count_erased(clients, job)
        return None
    except errors.Problem:  # after any other error the row may be there
        await result_cache.discard(clients, [copy])
        raise
    if done is not None:
        await result_cache.discard(clients, [copy])
        return done
    clients.metrics.submitted.inc(generator=job.generator)
    log.info("job_submitted", job_id=job.id, generator=job.generator, cached_from=copy.source.id)
    await result_cache.confirm(clients, [(job, copy)])
    return Submission(job)


async def _claim_key(
    session: AsyncSession, job: Job, key: _IdempotentRequest | None
) -> Submission | None:
    """Bind the key to the job; returns the first request's if it is not the first."""
    if key is None:
        return None
    first_id = await idempotency.claim(session, job.user_id, key.key, key.hashed, job.id)
    if first_id is None:
        return None
    return Submission(await _load_replayed(session, first_id, job.user_id), replayed=True)


async def _insert_job(
    sessions: Sessions,
    job: Job,
    work: int,
    inline_files: Sequence[File],
    key: _IdempotentRequest | None,
    bounds: LimitSettings,
    audit: JobAudit | None,
) -> Submission:
    """Insert the job and hold its price; returns the first request's job if this one repeats it.

    Every submit runs it, so what can be read or written together is: each statement costs more in
    round trip than in work.
    """
    async with sessions.begin() as session:
        done = await _claim_key(session, job, key)
        if done is not None:
            return done
        account = await ledger.lock_user(session, job.user_id)
        check_account(account)
        plan, clock, has_lots = await check_room_for_one(session, job, bounds)
        fair_queue.tag_at(clock, [job], [fair_share.cost(work, plan, job.priority)])
        job = await insert_with_message(session, job)
        await _add_inline(session, bounds, job.user_id, inline_files)
        account = replace(account, has_lots=has_lots)
        await ledger.hold(
            session,
            job.user_id,
            job.credits_quoted,
            job.id,
            job.generator,
            account,
            job.api_key_id,
        )
        if audit is not None:
            await audit(session, job)
    return Submission(job)


async def _add_inline(
    session: AsyncSession, bounds: LimitSettings, user_id: str, files: Sequence[File]
) -> None:
    """Insert the rows of the files that came inside the input, if there is room for them."""
    if files:
        session.add_all(files)
        await session.flush()
        await check_inserted(session, bounds, user_id, sum(file.bytes for file in files))


async def _pushed(clients: Clients, job: Job) -> Submission:
    try:
        async with asyncio.timeout(PUSH_TIMEOUT_S):
            position = await clients.queues[job.generator].push(job.id, 1, job.queue_tag)
    except (StoreUnavailable, TimeoutError) as error:
        clients.metrics.push_failures.inc(generator=job.generator)
        log.warning("push_left_to_keeper", job_id=job.id, error=type(error).__name__)
        return Submission(job)
    clients.push_confirmations.add(job.id)
    return Submission(job, pushed=True, position=position)
