"""Create a batch: every line of a file becomes a job, or none does."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import fair_share, key_budgets, ledger
from db.errors import StoreUnavailable
from db.ids import new_id
from db.jobs import batches, fair_queue
from db.jobs.queue_messages import enqueue_row
from db.outbox import rows as outbox
from db.outbox import webhook_events
from db.redis.queue import message_id
from db.tables import Batch, File, Job
from serve_app.auth.identity import Identity
from serve_app.batches.jsonl import BatchError, Line, RefusedLine, read_lines
from serve_app.http import errors, idempotency
from serve_app.http.problems import field_errors
from serve_app.http.schemas import MAX_FAULTS
from serve_app.jobs import result_cache
from serve_app.jobs.acceptance import CheckedInput, check_account, check_room, new_job, refusals
from serve_app.jobs.inputs import Named, check_references, store_inline_files
from serve_app.jobs.schemas import Priority, SubmitBody
from serve_app.jobs.submit import check_input
from serve_app.limits.storage import check_inserted
from serve_app.resources import Clients
from serve_app.webhooks.address import check_url

log = structlog.get_logger()

# Maintenance waits that long for this process to push the jobs: thousands of rows at once would
# keep it from the others.
PUSH_HEAD_START = timedelta(seconds=60)
# Half the price for whoever is in no hurry.
DISCOUNTED: Priority = "low"


@dataclass(frozen=True)
class BatchOptions:
    """What is said of a batch beside its lines."""

    priority: Priority = DISCOUNTED
    webhook_url: str | None = None


@dataclass(frozen=True)
class Creation:
    """A batch; ``replayed`` if an earlier request with the same key created it, and otherwise the
    jobs to push to their queues and those that have succeeded with copies."""

    batch: Batch
    jobs: Sequence[Job] = ()
    copied: Sequence[tuple[Job, result_cache.Copy]] = ()
    replayed: bool = False


@dataclass(frozen=True)
class _Order:
    """A line that may become a job."""

    line: Line
    body: SubmitBody
    checked: CheckedInput


async def create_batch(
    clients: Clients,
    identity: Identity,
    content: bytes,
    options: BatchOptions,
    idempotency_key: str | None,
    request_id: str,
    *,
    fresh: bool = False,
) -> Creation:
    """Accept all lines of a file as jobs, or refuse it and change nothing.

    Where results are kept, jobs may have succeeded already with those of earlier ones, but not if
    they have to be ``fresh``.

    Raises:
        BadInput: lines are not valid (at most 50 faults are told, with their lines), the file has
            none or too many, or the webhook's address is refused.
        NotEnoughCredits: the balance does not cover all of them.
        SpendingCapReached: the API key may not spend that much more this month.
        TooManyWaiting: the user may not have so many jobs waiting.
        IdempotencyMismatch: the key was used with another file.
        Draining: a generator accepts no jobs for now.
    """
    hashed = await asyncio.to_thread(_fingerprint, content, options)
    if idempotency_key is not None:
        first = await _find_first(clients, identity.user_id, idempotency_key, hashed)
        if first is not None:
            return Creation(first, replayed=True)
    if options.webhook_url is not None:
        check_url(clients, options.webhook_url, "webhook_url")
    async with clients.large_bodies.in_memory():
        orders = await asyncio.to_thread(_read, clients, identity, content, options)
    named = await _check_each(clients, identity, orders)
    batch = Batch(
        id=new_id("bat"),
        user_id=identity.user_id,
        api_key_id=identity.api_key_id,
        priority=options.priority,
        total=len(orders),
        credits_quoted=sum(order.checked.credits for order in orders),
        webhook_url=options.webhook_url,
    )
    jobs, files = await _make_jobs(clients, identity, batch, orders, request_id)
    copies: dict[str, result_cache.Copy] = {}
    if not fresh and result_cache.within(clients) is not None:
        copies = await _find_copies(clients, identity.user_id, orders, named, jobs)
    costs = {job.id: order.checked.full_price for job, order in zip(jobs, orders, strict=True)}
    first, used = None, set[str]()
    try:
        with refusals("batch"):
            async with clients.sessions.begin() as session:
                if idempotency_key is not None:
                    first = await _claim_key(session, batch, idempotency_key, hashed)
                if first is None:
                    used = await _insert(session, clients, batch, jobs, costs, files, copies)
    except errors.Problem:  # after any other error the rows may be there
        await result_cache.discard(clients, copies.values())
        raise
    if first is not None:
        await result_cache.discard(clients, copies.values())
        return Creation(first, replayed=True)
    await result_cache.discard(clients, [copies[key] for key in copies.keys() - used])
    for job in jobs:
        clients.metrics.submitted.inc(generator=job.generator)
    log.info(
        "batch_created",
        batch_id=batch.id,
        jobs=batch.total,
        copied=len(used),
        credits=batch.credits_quoted,
    )
    for job in jobs:
        if job.id in copies.keys() - used:
            result_cache.count_erased(clients, job)
    return Creation(
        batch,
        [job for job in jobs if job.id not in used],
        [(job, copies[job.id]) for job in jobs if job.id in used],
    )


async def _claim_key(session: AsyncSession, batch: Batch, key: str, hashed: str) -> Batch | None:
    """Bind the key to the batch; returns the first request's if it is not the first."""
    first_id = await idempotency.claim(session, batch.user_id, key, hashed, batch.id)
    if first_id is None:
        return None
    first = await batches.get_owned(session, first_id, batch.user_id)
    assert first is not None, "batches are not deleted"
    return first


async def _find_copies(
    clients: Clients,
    user_id: str,
    orders: Sequence[_Order],
    named: Sequence[Named],
    jobs: Sequence[Job],
) -> dict[str, result_cache.Copy]:
    """Copy what of the orders was made before; by the ids of their jobs."""
    wanted: list[tuple[Job, str]] = []
    for job, order, what in zip(jobs, orders, named, strict=True):
        if len(wanted) == result_cache.MOST:
            break
        spec = clients.catalog[order.body.generator]
        key = await result_cache.key_of(clients, spec, order.checked, what)
        if key is not None:
            wanted.append((job, key))
    return await result_cache.find_copies(clients, user_id, wanted)


def _fingerprint(content: bytes, options: BatchOptions) -> str:
    fields = {"file": hashlib.sha256(content).hexdigest(), **asdict(options)}
    return idempotency.body_hash("POST /v1/batches", fields)


async def _find_first(clients: Clients, user_id: str, key: str, hashed: str) -> Batch | None:
    async with clients.sessions() as session:
        first_id = await idempotency.find(session, user_id, key, hashed)
        return await batches.get_owned(session, first_id, user_id) if first_id else None


def _read(
    clients: Clients, identity: Identity, content: bytes, options: BatchOptions
) -> list[_Order]:
    """Read and check every line by itself; it calculates, and is called in a thread."""
    most = clients.settings.limits.max_batch_lines
    try:
        lines, refused = read_lines(content, most_lines=most, most_refused=MAX_FAULTS)
    except BatchError as error:
        raise _refusal([{"loc": ["file"], "msg": str(error), "code": "unreadable"}]) from error
    if not lines and not refused:
        words = f"a batch has 1 to {most:,} lines"
        raise _refusal([{"loc": ["file"], "msg": words, "code": "out_of_range"}])
    faults = [_fault_of(line) for line in refused]
    orders = []
    for line in lines:
        if len(faults) >= MAX_FAULTS:
            break
        try:
            orders.append(_order(clients, identity, line, options))
        except errors.BadInput as problem:
            faults += _at_line(line.number, problem)
    if faults:
        raise _refusal(faults)
    return orders


def _order(clients: Clients, identity: Identity, line: Line, options: BatchOptions) -> _Order:
    if "priority" in line.body:
        words = "the priority is the whole batch's"
        raise _refusal([{"loc": ["priority"], "msg": words, "code": "conflicting_fields"}])
    try:
        body = SubmitBody.model_validate({**line.body, "priority": options.priority})
    except ValidationError as error:
        invalid = field_errors(error.errors(include_url=False, include_input=False))
        raise _refusal(invalid) from error
    spec = clients.catalog.get(body.generator)
    if spec is None:
        raise _refusal([{"loc": ["generator"], "msg": "no such generator", "code": "not_found"}])
    if body.webhook_url is not None:
        check_url(clients, body.webhook_url, "webhook_url")
    cheap = options.priority == DISCOUNTED
    checked = check_input(spec, body.input, identity.plan, clients.profile, in_batch=cheap)
    return _Order(line, body, checked)


async def _check_each(
    clients: Clients, identity: Identity, orders: Sequence[_Order]
) -> list[Named]:
    """Check what the inputs refer to, and return it."""
    named: list[Named] = []
    faults: list[errors.FieldError] = []
    for order in orders:
        if len(faults) >= MAX_FAULTS:
            break
        try:
            named.append(await check_references(clients, identity.user_id, order.checked.request))
        except errors.BadInput as problem:
            faults += _at_line(order.line.number, problem)
    if faults:
        raise _refusal(faults)
    return named


async def push_all(clients: Clients, jobs: Sequence[Job]) -> None:
    """Push the jobs of a batch to their queues; what fails is left to maintenance."""
    pushed = []
    try:
        for job in jobs:
            await clients.queues[job.generator].push(job.id, 1, job.queue_tag)
            pushed.append(message_id(job.id, 1))
    except StoreUnavailable as error:
        log.warning("push_left_to_keeper", error=type(error).__name__)
    try:
        async with clients.sessions.begin() as session:
            await outbox.confirm_all(session, outbox.ENQUEUE, pushed)
    except SQLAlchemyError as error:
        log.warning("push_not_confirmed", error=type(error).__name__)


def _fault_of(line: RefusedLine) -> errors.FieldError:
    path = line.field.split(".") if line.field else []
    return {"loc": ["line", line.number, *path], "msg": line.reason, "code": "unreadable"}


def _at_line(number: int, problem: errors.BadInput) -> list[errors.FieldError]:
    return [{**error, "loc": ["line", number, *error["loc"]]} for error in problem.errors]


def _refusal(faults: Sequence[errors.FieldError]) -> errors.BadInput:
    first = faults[0]
    where = ".".join(str(part) for part in first["loc"])
    return errors.BadInput(f"{where}: {first['msg']}", errors=faults[:MAX_FAULTS])


async def _make_jobs(
    clients: Clients,
    identity: Identity,
    batch: Batch,
    orders: Sequence[_Order],
    request_id: str,
) -> tuple[list[Job], list[File]]:
    """Build the rows of the jobs, and store the files that came inside their inputs."""
    ids = sorted(new_id("job") for _ in orders)  # the order of ids is the order of lines
    jobs: list[Job] = []
    files: list[File] = []
    for job_id, order in zip(ids, orders, strict=True):
        await asyncio.sleep(0)  # other requests go on
        spec, checked = clients.catalog[order.body.generator], order.checked
        stored_input, rows = await store_inline_files(
            clients, batch.user_id, job_id, checked.request, checked.input
        )
        files += rows
        job = new_job(job_id, identity, spec, order.body, checked, stored_input, request_id)
        job.batch_id, job.batch_line = batch.id, order.line.number
        jobs.append(job)
    return jobs, files


async def _insert(
    session: AsyncSession,
    clients: Clients,
    batch: Batch,
    jobs: Sequence[Job],
    prices: Mapping[str, int],
    files: Sequence[File],
    copies: Mapping[str, result_cache.Copy],
) -> set[str]:
    """Insert all rows and hold all prices: a few statements, whatever the number of jobs.

    ``prices`` and ``copies`` are by the ids of the jobs. Returns those that have succeeded with
    their copies: of the others the job that was copied was erased meanwhile.
    """
    check_account(await ledger.lock_user(session, batch.user_id))
    used: set[str] = set()
    if copies:
        sources = await result_cache.lock(session, batch.user_id, copies.values())
        used = {job_id for job_id, copy in copies.items() if copy.source.id in sources}
    waiting = [job for job in jobs if job.id not in used]
    ended = [job for job in jobs if job.id in used]
    if waiting:
        await _tag(session, clients, batch, waiting, prices)
    if ended:
        limits = clients.settings.limits
        await result_cache.end(session, limits, [(job, copies[job.id]) for job in ended])
    batch.credits_quoted = sum(job.credits_quoted for job in waiting)
    batch.succeeded = len(ended)
    if not waiting:
        batch.finished_at = ended[-1].finished_at
    session.add(batch)
    await session.flush()
    session.add_all(jobs)
    await session.flush()
    if files:
        session.add_all(files)
        await session.flush()
        size = sum(file.bytes for file in files)
        await check_inserted(session, clients.settings.limits, batch.user_id, size)
    if ended:
        await result_cache.tell(session, ended)
    if not waiting:
        await webhook_events.write_batch_finished(session, batch)
        return used
    holds = [(job.id, job.credits_quoted, job.generator) for job in waiting]
    await ledger.hold_all(session, batch.user_id, holds)
    if batch.api_key_id is not None:
        await key_budgets.spend(session, batch.api_key_id, batch.credits_quoted)
    await outbox.write_all(session, [enqueue_row(job) for job in waiting], PUSH_HEAD_START)
    return used


async def _tag(
    session: AsyncSession,
    clients: Clients,
    batch: Batch,
    jobs: Sequence[Job],
    prices: Mapping[str, int],
) -> None:
    """Give jobs that are to wait their places in their queues, if so many more may wait."""
    bounds = clients.settings.limits
    generators = [job.generator for job in jobs]
    plan = await check_room(session, batch.user_id, generators, len(jobs), bounds)
    flows: defaultdict[str, list[tuple[Job, int]]] = defaultdict(list)
    for job in jobs:
        cost = fair_share.cost(prices[job.id], plan, job.priority)
        flows[job.generator].append((job, cost))
    for flow in flows.values():
        await fair_queue.tag(session, [job for job, _ in flow], [cost for _, cost in flow])
