"""Results that are given again: a job whose input and seed one of its owner's jobs had before.

Its outputs are copies, so that either job can be erased without the other. They are made before the
transaction that inserts the job, under ``outputs/copies/``, where maintenance sweeps what no row
names. The job they are copied from is locked in that transaction; if it was erased meanwhile, or an
object of it is gone, the new job is made like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import job_counts
from billing.prices import PriceLine
from db.errors import ObjectMissing, StoreUnavailable
from db.jobs import queries, results
from db.object_store import copy_key
from db.outbox import webhook_events
from db.tables import Job
from deployments.contract import GeneratorSpec, Request
from deployments.job_log import LogLine
from deployments.references import FileId, JobId, Media, PersonaId, find_references
from deployments.result_key import file_content, job_content, persona_content, result_key
from serve_app.http.problems import STORE_FAILURES
from serve_app.jobs.acceptance import CheckedInput
from serve_app.jobs.inputs import Named
from serve_app.limits.storage import check_room_for_copies
from serve_app.resources import Clients
from serve_app.settings import LimitSettings

log = structlog.get_logger()

# What is copied at a time, and for how many jobs of a batch, whose caller waits for it.
AT_ONCE = 8
MOST = 1000
# The documents may be in a store of their own, which the job does not wait for.
DOCUMENT_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Copy:
    """The result of ``source``, copied for a new job; ``document`` says how it was made."""

    source: Job
    outputs: Sequence[Mapping[str, Any]]
    document: Mapping[str, Any]


class SourceErased(Exception):
    """A job that was copied has been erased meanwhile."""


def within(clients: Clients) -> timedelta | None:
    """Return how old a result may be that is given again; None: none is."""
    hours = clients.settings.limits.result_cache_hours
    return timedelta(hours=hours) if hours and clients.profile is not None else None


async def key_of(
    clients: Clients, spec: GeneratorSpec[Any], checked: CheckedInput, named: Named
) -> str | None:
    """Return the key of what an input asks for; None if it may be another result each time."""
    if clients.profile is None or checked.request.seed is None:
        return None
    contents = _contents(checked.request, named)
    return await asyncio.to_thread(
        result_key, spec, checked.request, checked.seed, contents, clients.profile
    )


def _contents(request: Request, named: Named) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    for reference in find_references(request):
        match reference.target:
            case Media(file_id=str() as file_id):
                contents[reference.name] = file_content(named.files[file_id].sha256)
            case PersonaId() as persona_id:
                saved = named.personas[persona_id]
                contents[reference.name] = persona_content(
                    saved.id,
                    saved.persona.name,
                    saved.persona.description,
                    [file.sha256 for file in saved.files],
                )
            case JobId() as job_id:
                contents[reference.name] = job_content(job_id)
            case FileId() as file_id:
                contents[reference.name] = file_content(named.files[file_id].sha256)
    return contents


async def find_copies(
    clients: Clients, user_id: str, wanted: Sequence[tuple[Job, str]]
) -> dict[str, Copy]:
    """Copy earlier results of the user for new jobs, each with its key, as far as there are any.

    Returns them by the ids of the new jobs. Of more than ``MOST`` jobs the rest is made anew.
    """
    age, wanted = within(clients), wanted[:MOST]
    if age is None or not wanted:
        return {}
    async with clients.statements() as session:
        sources = await results.find(session, user_id, [key for _, key in wanted], age)
    places = asyncio.Semaphore(AT_ONCE)

    async def copied(job: Job, key: str) -> tuple[str, Copy | None]:
        source = sources.get(key)
        if source is None:
            _count(clients, job.generator, "nothing")
            return job.id, None
        async with places:
            copy = await _copy(clients, source, job.id)
        if copy is None:
            _count(clients, job.generator, "gone")
        return job.id, copy

    copies = await asyncio.gather(*(copied(job, key) for job, key in wanted))
    return {job_id: copy for job_id, copy in copies if copy is not None}


async def _copy(clients: Clients, source: Job, job_id: str) -> Copy | None:
    """Copy the outputs of a job; None if one is gone, or the store is away."""
    outputs: list[dict[str, Any]] = []
    try:
        for output in source.outputs:
            key = copy_key(source.user_id, job_id, output["name"])
            outputs.append({**output, "object_key": key})
            await clients.objects.copy(output["object_key"], key)
    except (ObjectMissing, StoreUnavailable) as error:
        log.warning("result_not_copied", source=source.id, error=type(error).__name__)
        await _delete(clients, outputs)
        return None
    document: Mapping[str, Any] = {}
    with suppress(*STORE_FAILURES):
        async with asyncio.timeout(DOCUMENT_TIMEOUT_S):
            document = await clients.documents.get(source.id) or {}
    return Copy(source, outputs, document)


async def lock(session: AsyncSession, user_id: str, copies: Collection[Copy]) -> set[str]:
    """Keep the jobs that were copied from being erased; returns the ids of those that are there."""
    return await results.lock(session, {copy.source.id for copy in copies}, user_id)


async def end(
    session: AsyncSession, limits: LimitSettings, ending: Sequence[tuple[Job, Copy]]
) -> None:
    """Make jobs of a user, not inserted yet, some that have succeeded with copies, for nothing.

    The caller holds the row of the user and the locks of the jobs that were copied. Raises
    StorageQuotaExceeded where a job that is made would be refused for the user's files, too.
    """
    await check_room_for_copies(session, limits, ending[0][0].user_id)
    # As the database says when they were made.
    now = await session.scalar(select(func.now()))
    for job, copy in ending:
        if job.credits_quoted > 0:
            off = PriceLine("the result was there already", 1, -job.credits_quoted)
            job.quote = [*job.quote, asdict(off)]
        job.status, job.stage, job.progress = "succeeded", "done", 1.0
        job.credits_quoted, job.credits_held = 0, 0
        job.outputs = [dict(output) for output in copy.outputs]
        job.cached_from = copy.source.id
        job.finished_at = now


async def tell(session: AsyncSession, jobs: Collection[Job]) -> None:
    """Write what goes with jobs that have been inserted with copies: files, webhooks, counts."""
    await results.add_output_rows(session, jobs)
    for job in jobs:
        await webhook_events.write(session, job, "job.succeeded")
        job_counts.count_end(session, job)


async def confirm(clients: Clients, inserted: Sequence[tuple[Job, Copy]]) -> None:
    """Count jobs that were inserted with copies, and say in their documents how these were made.

    The jobs are complete without their documents: the first that cannot be written is the last.
    """
    for job, _ in inserted:
        _count(clients, job.generator, "result")
    written: list[Job] = []
    for job, copy in inserted:
        try:
            async with asyncio.timeout(DOCUMENT_TIMEOUT_S):
                await clients.documents.merge(job.id, _document(job, copy))
        except STORE_FAILURES as error:
            log.warning("document_not_written", job_id=job.id, error=type(error).__name__)
            break
        written.append(job)
    try:
        await _forget_erased(clients, written)
    except STORE_FAILURES as error:
        log.warning("document_not_erased", error=type(error).__name__)


async def _forget_erased(clients: Clients, written: Sequence[Job]) -> None:
    """Delete the documents of jobs that were erased meanwhile: those of a batch take a while."""
    wanted = [(job.id, job.user_id) for job in written]
    found = await queries.find_owned(clients.statements, wanted) if wanted else []
    for (job_id, _), job in zip(wanted, found, strict=True):
        if job is None:
            await clients.documents.delete(job_id)


def _document(job: Job, copy: Copy) -> dict[str, Any]:
    """How the outputs were made, with a log of its own: the other job's tells what that cost."""
    files, source = len(copy.outputs), copy.source.id
    line = LogLine.of(
        f"succeeded: {files} files copied from {source}, 0 credits charged", "info", 0
    )
    own = {"attempt": job.attempt, "cached_from": source, "logs": [line.as_json()]}
    return {**copy.document, **own}


async def discard(clients: Clients, copies: Collection[Copy]) -> None:
    """Delete copies whose jobs were not inserted; maintenance sweeps what is left of them."""
    await _delete(clients, [output for copy in copies for output in copy.outputs])


def count_erased(clients: Clients, job: Job) -> None:
    """Count a job whose copies are not used, since the job that was copied has been erased."""
    _count(clients, job.generator, "gone")


def _count(clients: Clients, generator: str, found: str) -> None:
    clients.metrics.result_cache.inc(generator=generator, found=found)


async def _delete(clients: Clients, outputs: Sequence[Mapping[str, Any]]) -> None:
    with suppress(StoreUnavailable):
        await clients.objects.delete([output["object_key"] for output in outputs])
