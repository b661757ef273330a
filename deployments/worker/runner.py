"""One attempt at a job, from the message to the last event.

    claim -> fetch inputs -> generate -> upload -> settle -> document -> tell

Each stage may be the last one that happens: a crash before ``settle`` leaves a running row whose
lease runs out, a crash after it leaves an outbox row, and the keeper finishes either. A replica
that must go before the generator is done gives the job back instead (``handing_back``).
"""

from __future__ import annotations

import asyncio
import contextvars
import resource
import sys
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from pydantic import ValidationError

from billing import concurrency
from billing.settlement import Outcome
from db.jobs.transitions import can_requeue_drained
from db.tables import Job
from deployments.contract import Artifact, BadInput, Canceled, Generator, GeneratorSpec
from deployments.messaging.job_events import publish, publish_done, status_event
from deployments.messaging.retry import STORE_DOWN, retry_while_unavailable
from deployments.stores import Stores
from deployments.worker import failures
from deployments.worker.context import RunContext, StopReason
from deployments.worker.drain import DrainSignal, run_until_stopped
from deployments.worker.inputs import InputFetcher
from deployments.worker.lease import hold_lease
from deployments.worker.outputs import (
    STORE_TIMEOUT_S,
    AttemptLost,
    settle_attempt,
    upload_outputs,
    write_metadata,
)
from deployments.worker.requeue import requeue_drained_job

STOP_TIMEOUT_S = 15.0

log = structlog.get_logger(__name__)


class GeneratorStuck(Exception):
    """A generator neither ended nor asked its context for too long; its thread is lost for good."""


class ReplicaDraining(Exception):
    """The generator was stopped because its replica must go."""


@dataclass(frozen=True)
class LoadedGenerator:
    """A loaded generator and the threads it runs in. ``work_dir`` of None is the system's own.

    ``private_addresses``: whether inputs may lie at addresses that are not public. ``replica`` is
    whom the keeper asks after when an attempt is lost; ``recall`` asks its jobs back.
    """

    spec: GeneratorSpec[Any]
    generator: Generator[Any]
    threads: Executor
    work_dir: Path | None = None
    private_addresses: bool = False
    replica: str | None = None
    drain_signal: DrainSignal = field(default_factory=DrainSignal)


@dataclass(frozen=True)
class AttemptResult:
    """How generating ended: files to keep, or why there are none."""

    artifacts: tuple[Artifact, ...] = ()
    outcome: Outcome | None = None
    stuck: bool = False


async def run_job(stores: Stores, loaded: LoadedGenerator, job_id: str, attempt: int) -> Job | None:
    """Run attempt number ``attempt`` of a job, if the row waits for exactly that one.

    Returns the row as this attempt ended it; None if there was nothing to do for it, nothing it was
    allowed to do any more, or if it handed the job back.

    Raises:
        GeneratorStuck: the job was ended, but the replica is no longer of use.
        Exception: a store stayed down; the row is as the keeper needs it.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=attempt):
        job = await retry_while_unavailable(
            "claim", lambda: _claim(stores, loaded, job_id, attempt), STORE_TIMEOUT_S
        )
        if job is None:
            log.info("message_dropped")
            return None
        log.info("job_started", generator=job.generator)
        await publish(stores.redis, job_id, status_event("running", attempt))
        with TemporaryDirectory(
            prefix=f"{job_id}-", dir=loaded.work_dir, ignore_cleanup_errors=True
        ) as folder:
            try:
                return await _run_attempt(stores, loaded, job, Path(folder))
            except AttemptLost:
                log.warning("job_left_to_another_attempt")
                return None


async def _claim(stores: Stores, loaded: LoadedGenerator, job_id: str, attempt: int) -> Job | None:
    async with stores.sessions.begin() as session:
        return await concurrency.claim_or_defer(session, job_id, attempt, loaded.replica)


async def _run_attempt(
    stores: Stores, loaded: LoadedGenerator, job: Job, folder: Path
) -> Job | None:
    workdir = folder / "work"
    workdir.mkdir()
    context = RunContext(job.seed, workdir)
    async with hold_lease(stores, job, context):
        try:
            with _drainable(loaded, job, context):
                made = await _fetch_and_generate(stores, loaded, job, context, folder / "inputs")
        except ReplicaDraining:
            if await requeue_drained_job(stores, job, context):
                return None
            made = AttemptResult(outcome=_canceled_outcome(context))
        context.enter_stage("uploading")
        ending = await _upload(stores, job, context, made)
        context.enter_stage("settling")
        ended = await settle_attempt(stores, job, context, ending)
    await write_metadata(stores, ended, context, {"memory_peak_bytes": _memory_peak()})
    await publish_done(stores.redis, stores.sessions, ended)
    log.info("job_ended", status=ended.status, charged=ended.credits_charged)
    if made.stuck:
        raise GeneratorStuck(loaded.spec.name)
    return ended


def _drainable(
    loaded: LoadedGenerator, job: Job, context: RunContext
) -> AbstractContextManager[None]:
    """A job that was handed back too often is run to its end."""
    return loaded.drain_signal.register(context) if can_requeue_drained(job) else nullcontext()


async def _fetch_and_generate(
    stores: Stores, loaded: LoadedGenerator, job: Job, context: RunContext, folder: Path
) -> AttemptResult:
    """Fetch the inputs into ``folder``, then generate in a thread.

    Every way it can end but a lost attempt, a recall, or a store that stayed down, becomes a
    ``AttemptResult``.
    """
    try:
        request = loaded.spec.request.model_validate(job.input)
    except ValidationError:
        # It was valid when it was submitted; the generator has been changed since.
        return _failed_result(
            failures.bad_input(BadInput("The generator no longer takes this input."))
        )
    context.enter_stage("fetching")
    fetching = InputFetcher(stores, job, context, folder, private=loaded.private_addresses)
    try:
        context.set_inputs(await run_until_stopped(context, fetching.fetch(request)))
    except BadInput as error:
        log.info("bad_input", code=error.code)
        return _failed_result(failures.bad_input(error))
    except Canceled:
        return _canceled_result(context)
    context.enter_stage("generating")
    run = contextvars.copy_context().run
    thread = asyncio.get_running_loop().run_in_executor(
        loaded.threads, run, loaded.generator.generate, request, context
    )
    done, _ = await asyncio.wait({thread}, timeout=loaded.spec.max_seconds)
    if not done:
        return await _stop_overtime(loaded, thread, context)
    try:
        return AttemptResult(artifacts=_validate_artifacts(thread.result()))
    except BadInput as error:
        log.info("bad_input", code=error.code)
        return _failed_result(failures.bad_input(error))
    except Canceled:
        return _canceled_result(context)
    except Exception:
        if context.stop_reason is StopReason.DRAINED:
            # What it raises for having been stopped is no failure; the next attempt will tell.
            log.warning("generator_failed_when_stopped", exc_info=True)
            raise ReplicaDraining from None
        log.exception("generator_failed")
        return _failed_result(failures.generator_error())


async def _stop_overtime(
    loaded: LoadedGenerator, thread: asyncio.Future[Any], context: RunContext
) -> AttemptResult:
    context.stop(StopReason.OVERTIME)
    log.error("job_took_too_long", max_seconds=loaded.spec.max_seconds)
    ended, _ = await asyncio.wait({thread}, timeout=STOP_TIMEOUT_S)
    for future in ended:
        future.exception()  # looked at, so that asyncio does not report it as forgotten
    ending = Outcome("failed", error=failures.time_limit_exceeded(loaded.spec.max_seconds))
    return AttemptResult(outcome=ending, stuck=not ended)


def _validate_artifacts(artifacts: list[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts, if there are any and every one is a file of its own name."""
    names = {artifact.path.name for artifact in artifacts}
    if not artifacts or len(names) != len(artifacts):
        raise ValueError(f"a generator gave {len(artifacts)} artifacts of {len(names)} names")
    return tuple(artifacts)


def _canceled_result(context: RunContext) -> AttemptResult:
    return AttemptResult(outcome=_stop_outcome(context))


def _stop_outcome(context: RunContext) -> Outcome:
    if context.stop_reason is StopReason.LOST:
        raise AttemptLost
    if context.stop_reason is StopReason.DRAINED:
        raise ReplicaDraining
    if context.stop_reason is not StopReason.CANCELED:
        log.error("generator_canceled_itself")
        return Outcome("failed", error=failures.generator_error())
    return _canceled_outcome(context)


def _canceled_outcome(context: RunContext) -> Outcome:
    fraction, _ = context.state
    return Outcome("canceled", charged_fraction=fraction)


def _failed_result(error: dict[str, Any]) -> AttemptResult:
    return AttemptResult(outcome=Outcome("failed", error=error))


async def _upload(stores: Stores, job: Job, context: RunContext, made: AttemptResult) -> Outcome:
    if made.outcome is not None:
        return made.outcome
    try:
        # Not when it is asked back: it is all but done.
        storing = upload_outputs(stores, job, context, made.artifacts)
        outputs = await run_until_stopped(context, storing, (StopReason.CANCELED, StopReason.LOST))
    except Canceled:
        return _stop_outcome(context)
    except (AttemptLost, *STORE_DOWN):
        raise
    except Exception:
        log.exception("upload_failed")
        return Outcome("failed", error=failures.generator_error())
    return Outcome("succeeded", charged_fraction=1.0, outputs=outputs)


def _memory_peak() -> int:
    """The most memory this replica has held so far, in bytes (of all its jobs)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
