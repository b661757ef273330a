"""One attempt at a job, from the message to the last event.

    claim -> fetch inputs -> generate -> upload -> settle -> document -> tell

Each stage may be the last one that happens: a crash before ``settle`` leaves a running row whose
lease runs out, a crash after it leaves an outbox row, and the keeper finishes either.
"""

from __future__ import annotations

import asyncio
import contextvars
import resource
import sys
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from pydantic import ValidationError

from billing import parking
from billing.settlement import Ending
from db.tables import Job
from deployments import failures
from deployments.announce import status_event, tell, tell_done
from deployments.context import RunContext, Stopped
from deployments.contract import Artifact, BadInput, Canceled, Generator, GeneratorSpec
from deployments.delivery import GIVE_UP_AFTER_S, AttemptLost, end, record, upload
from deployments.fetching import Fetching
from deployments.lease import leased
from deployments.patience import STORE_DOWN, patiently
from deployments.stopping import unless_stopped
from deployments.stores import Stores

STOP_WITHIN_S = 15.0

log = structlog.get_logger(__name__)


class GeneratorStuck(Exception):
    """A generator neither ended nor asked its context for too long; its thread is lost for good."""


@dataclass(frozen=True)
class Seat:
    """A loaded generator and the threads it runs in. ``work_dir`` of None is the system's own.

    ``private_addresses``: whether inputs may lie at addresses that are not public. ``replica`` is
    whom the keeper asks after when an attempt is lost.
    """

    spec: GeneratorSpec[Any]
    generator: Generator[Any]
    threads: Executor
    work_dir: Path | None = None
    private_addresses: bool = False
    replica: str | None = None


@dataclass(frozen=True)
class Made:
    """How generating ended: files to keep, or why there are none."""

    artifacts: tuple[Artifact, ...] = ()
    ending: Ending | None = None
    stuck: bool = False


async def run_job(stores: Stores, seat: Seat, job_id: str, attempt: int) -> Job | None:
    """Run attempt number ``attempt`` of a job, if the row waits for exactly that one.

    Returns the row as this attempt ended it; None if there was nothing to do for it, or nothing
    it was allowed to do any more.

    Raises:
        GeneratorStuck: the job was ended, but the replica is no longer of use.
        Exception: a store stayed down; the row is as the keeper needs it.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=attempt):
        job = await patiently(
            "claim", lambda: _claim(stores, seat, job_id, attempt), GIVE_UP_AFTER_S
        )
        if job is None:
            log.info("message_dropped")
            return None
        log.info("job_started", generator=job.generator)
        await tell(stores.redis, job_id, status_event("running", attempt))
        with TemporaryDirectory(
            prefix=f"{job_id}-", dir=seat.work_dir, ignore_cleanup_errors=True
        ) as folder:
            try:
                return await _attempt(stores, seat, job, Path(folder))
            except AttemptLost:
                log.warning("job_left_to_another_attempt")
                return None


async def _claim(stores: Stores, seat: Seat, job_id: str, attempt: int) -> Job | None:
    async with stores.sessions.begin() as session:
        return await parking.claim(session, job_id, attempt, seat.replica)


async def _attempt(stores: Stores, seat: Seat, job: Job, folder: Path) -> Job:
    workdir = folder / "work"
    workdir.mkdir()
    context = RunContext(job.seed, workdir)
    async with leased(stores, job, context):
        made = await _make(stores, seat, job, context, folder / "inputs")
        context.enter("uploading")
        ending = await _deliver(stores, job, context, made)
        context.enter("settling")
        ended = await end(stores, job, context, ending)
    await record(stores, ended, context, {"memory_peak_bytes": _memory_peak()})
    await tell_done(stores.redis, stores.sessions, ended)
    log.info("job_ended", status=ended.status, charged=ended.credits_charged)
    if made.stuck:
        raise GeneratorStuck(seat.spec.name)
    return ended


async def _make(stores: Stores, seat: Seat, job: Job, context: RunContext, folder: Path) -> Made:
    """Fetch the inputs into ``folder``, then generate in a thread.

    Every way it can end but a lost attempt, or a store that stayed down, becomes a ``Made``.
    """
    try:
        request = seat.spec.request.model_validate(job.input)
    except ValidationError:
        # It was valid when it was submitted; the generator has been changed since.
        return _failed(failures.bad_input(BadInput("The generator no longer takes this input.")))
    context.enter("fetching")
    fetching = Fetching(stores, job, context, folder, private=seat.private_addresses)
    try:
        context.receive(await unless_stopped(context, fetching.fetch(request)))
    except BadInput as error:
        log.info("bad_input", code=error.code)
        return _failed(failures.bad_input(error))
    except Canceled:
        return _canceled(context)
    context.enter("generating")
    run = contextvars.copy_context().run
    thread = asyncio.get_running_loop().run_in_executor(
        seat.threads, run, seat.generator.generate, request, context
    )
    done, _ = await asyncio.wait({thread}, timeout=seat.spec.max_seconds)
    if not done:
        return await _overtime(seat, thread, context)
    try:
        return Made(artifacts=_checked(thread.result()))
    except BadInput as error:
        log.info("bad_input", code=error.code)
        return _failed(failures.bad_input(error))
    except Canceled:
        return _canceled(context)
    except Exception:
        log.exception("generator_failed")
        return _failed(failures.generator_error())


async def _overtime(seat: Seat, thread: asyncio.Future[Any], context: RunContext) -> Made:
    context.stop(Stopped.OVERTIME)
    log.error("job_took_too_long", max_seconds=seat.spec.max_seconds)
    ended, _ = await asyncio.wait({thread}, timeout=STOP_WITHIN_S)
    for future in ended:
        future.exception()  # looked at, so that asyncio does not report it as forgotten
    ending = Ending("failed", error=failures.took_too_long(seat.spec.max_seconds))
    return Made(ending=ending, stuck=not ended)


def _checked(artifacts: list[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts, if there are any and every one is a file of its own name."""
    names = {artifact.path.name for artifact in artifacts}
    if not artifacts or len(names) != len(artifacts):
        raise ValueError(f"a generator gave {len(artifacts)} artifacts of {len(names)} names")
    return tuple(artifacts)


def _canceled(context: RunContext) -> Made:
    return Made(ending=_stopped(context))


def _stopped(context: RunContext) -> Ending:
    if context.stopped is Stopped.LOST:
        raise AttemptLost
    if context.stopped is not Stopped.CANCELED:
        log.error("generator_canceled_itself")
        return Ending("failed", error=failures.generator_error())
    fraction, _ = context.state
    return Ending("canceled", share=fraction)


def _failed(error: dict[str, Any]) -> Made:
    return Made(ending=Ending("failed", error=error))


async def _deliver(stores: Stores, job: Job, context: RunContext, made: Made) -> Ending:
    if made.ending is not None:
        return made.ending
    try:
        outputs = await unless_stopped(context, upload(stores, job, context, made.artifacts))
    except Canceled:
        return _stopped(context)
    except (AttemptLost, *STORE_DOWN):
        raise
    except Exception:
        log.exception("upload_failed")
        return Ending("failed", error=failures.generator_error())
    return Ending("succeeded", share=1.0, outputs=outputs)


def _memory_peak() -> int:
    """The most memory this replica has held so far, in bytes (of all its jobs)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
