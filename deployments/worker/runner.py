"""Run one attempt at a job. ``run_job`` is the whole way, and the stages below it are in order:

    claim -> fetch -> generate -> upload -> settle -> document -> publish

The process may die in any stage. Before ``settle`` has committed the row stays "running" until its
lease expires; after it an outbox row is left. Maintenance finishes the job in both cases. A replica
that shuts down before the generator is done queues the job again instead
(``requeue_on_drain``).
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from billing import concurrency
from billing.job_policy import can_requeue_drained
from db.jobs import transitions
from db.tables import Job
from deployments.contract import (
    Artifact,
    BadInput,
    Generator,
    GeneratorSpec,
    JobFailure,
    Request,
    Stopped,
)
from deployments.gpu_manager.messages import DeviceLost
from deployments.job_log import Level
from deployments.messaging.job_events import publish, publish_done, status_event
from deployments.result_key import result_key
from deployments.retry import STORE_DOWN, retry_while_unavailable
from deployments.stores import Stores
from deployments.tracing import current_traceparent
from deployments.worker import failures
from deployments.worker.attempt import AttemptLost, AttemptResult, Outcome
from deployments.worker.context import RunContext, StopReason
from deployments.worker.drain_signal import DrainSignal
from deployments.worker.inputs import InputFetcher
from deployments.worker.lease import hold_lease
from deployments.worker.metadata import write_metadata
from deployments.worker.outputs import STORE_TIMEOUT_S, upload_outputs
from deployments.worker.replica_calls import ReplicaCalls
from deployments.worker.requeue_on_drain import requeue_drained_job
from deployments.worker.settle import settle_attempt
from deployments.worker.stoppable import run_until_stopped
from deployments.worker.trace_attempt import record_outcome, trace_attempt
from models.inference.inference import Caller, Inference
from models.scratch import scratch_folder

STOP_TIMEOUT_S = 15.0

log = structlog.get_logger(__name__)


class GeneratorStuck(Exception):
    """A generator neither ended nor called its context for too long: its thread is lost."""


@dataclass(frozen=True)
class LoadedGenerator:
    """A loaded generator, the threads and models it works with, and how its replica handles jobs.

    ``work_dir`` of None is the system's temporary folder. ``private_addresses`` allows inputs at
    addresses that are not public. ``replica`` is the name under which jobs are claimed: after a
    lost attempt, maintenance looks whether that replica crashed. ``calls`` are what its jobs share;
    with None each asks the stores alone.
    """

    spec: GeneratorSpec[Any]
    generator: Generator[Any]
    threads: Executor
    work_dir: Path | None = None
    private_addresses: bool = False
    replica: str | None = None
    drain_signal: DrainSignal = field(default_factory=DrainSignal)
    inference: Inference | None = None
    calls: ReplicaCalls | None = None


@dataclass(frozen=True)
class _Attempt:
    """What every stage of one attempt works with. ``folder`` is deleted when the attempt ends."""

    stores: Stores
    loaded: LoadedGenerator
    job: Job
    context: RunContext
    folder: Path


async def run_job(
    stores: Stores, loaded: LoadedGenerator, job_id: str, attempt_number: int
) -> Job | None:
    """Run attempt ``attempt_number`` of a job, if the row waits for exactly that attempt.

    Returns the row as this attempt ended it. Returns None if the row waited for another attempt,
    if the attempt lost the job meanwhile, or if it queued the job again because of a drain.

    Raises:
        GeneratorStuck: the job was ended, but the replica has to be replaced.
        Exception: a store stayed down; maintenance recovers the job from its row.
    """
    with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=attempt_number):
        claim_began = time.time()
        job = await _claim(stores, loaded, job_id, attempt_number)
        if job is None:
            log.info("message_dropped")
            return None
        with trace_attempt(job, claim_began):
            return await _run_claimed(stores, loaded, job)


async def _run_claimed(stores: Stores, loaded: LoadedGenerator, job: Job) -> Job | None:
    """Run the attempt that claimed ``job``, as ``run_job`` says."""
    log.info("job_started", generator=job.generator)
    await publish(stores.redis, job.id, status_event("running", job.attempt))
    with scratch_folder(job.id, loaded.work_dir) as folder:
        context = RunContext(
            job.seed,
            _make_folder(folder / "work"),
            inference=loaded.inference,
            caller=Caller(
                job.user_id,
                job.generator,
                job.id,
                suspect=job.losses > 0,
                traceparent=current_traceparent(),
            ),
            attempt=job.attempt,
        )
        context.add_line(f"attempt {job.attempt} began")
        attempt = _Attempt(stores, loaded, job, context, folder)
        try:
            async with hold_lease(stores, job, context, loaded.calls):
                with _drainable(attempt):
                    result = await _fetch(attempt)
                    if isinstance(result, Request):
                        result = await _generate(attempt, result)
                if result.outcome is Outcome.DRAINED:
                    if await requeue_drained_job(stores, job, context):
                        return None
                    result = _canceled_result(context)  # the owner was faster than the drain
                result = await _upload(attempt, result)
                ended = await _settle(attempt, result)
        except AttemptLost:
            log.warning("job_left_to_another_attempt")
            return None
        except DeviceLost as lost:
            await _give_up(stores, job, lost)
            return None
        await _document(attempt, ended)  # whoever hears of the end may ask for it at once
        await publish_done(stores.redis, stores.statements, ended)
    log.info("job_ended", status=ended.status, charged=ended.credits_charged)
    if result.stuck:
        raise GeneratorStuck(loaded.spec.name)
    return ended


async def _claim(
    stores: Stores, loaded: LoadedGenerator, job_id: str, attempt_number: int
) -> Job | None:
    async def claim_once() -> Job | None:
        async with stores.sessions.begin() as session:
            return await concurrency.claim_or_defer(session, job_id, attempt_number, loaded.replica)

    return await retry_while_unavailable("claim", claim_once, STORE_TIMEOUT_S)


def _make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _drainable(attempt: _Attempt) -> AbstractContextManager[None]:
    """Let a drain stop the generator, unless the job was queued again too often already."""
    if can_requeue_drained(attempt.job):
        return attempt.loaded.drain_signal.register(attempt.context)
    return nullcontext()


async def _fetch(attempt: _Attempt) -> Request | AttemptResult:
    """Download the files that the job's input names; returns the request to generate.

    Returns a result instead if the attempt ends here: the input is not usable, or it was stopped.
    """
    context, loaded = attempt.context, attempt.loaded
    try:
        request: Request = loaded.spec.request.model_validate(attempt.job.input)
    except ValidationError:
        # The input was valid when it was submitted; the generator has changed since.
        return AttemptResult.failed(
            failures.job_failure(BadInput("The generator no longer takes this input."))
        )
    context.enter_stage("fetching")
    fetcher = InputFetcher(
        attempt.stores,
        attempt.job,
        context,
        attempt.folder / "inputs",
        private=loaded.private_addresses,
    )
    try:
        context.set_inputs(await run_until_stopped(context, fetcher.fetch(request)))
    except JobFailure as failure:
        return _failed_result(failure)
    except Stopped:
        return _stopped_result(context)
    return request


async def _generate(attempt: _Attempt, request: Request) -> AttemptResult:
    """Run the generator in a thread, for at most as long as its spec allows."""
    context, loaded = attempt.context, attempt.loaded
    context.enter_stage("generating")
    thread = asyncio.get_running_loop().run_in_executor(
        loaded.threads,
        contextvars.copy_context().run,
        _call_generator,
        loaded.generator,
        request,
        context,
    )
    done, _ = await asyncio.wait({thread}, timeout=loaded.spec.max_seconds)
    if not done:
        return await _stop_overtime(attempt, thread)
    try:
        artifacts = thread.result()
        return AttemptResult(
            Outcome.SUCCEEDED,
            artifacts,
            charged_fraction=context.charged_share,
            result_key=await _result_key(attempt, request),
        )
    except JobFailure as failure:
        return _failed_result(failure)
    except Stopped:
        return _stopped_result(context)
    except DeviceLost:
        raise
    except Exception:
        if context.stop_reason is StopReason.DRAINED:
            # An exception after a stop says nothing about the job: the next attempt decides.
            log.warning("generator_failed_when_stopped", exc_info=True)
            return AttemptResult(Outcome.DRAINED)
        log.exception("generator_failed")
        return AttemptResult.failed(failures.generator_error())


async def _result_key(attempt: _Attempt, request: Request) -> str | None:
    """Return under which key the files can be used again, if they are all that was asked for.

    A later attempt may have gone on with what another one made of other files, or other models.
    """
    context, profile = attempt.context, attempt.context.known_profile
    if profile is None or context.charged_share < 1 or attempt.job.attempt > 1:
        return None
    spec, seed = attempt.loaded.spec, attempt.job.seed
    try:
        return await asyncio.to_thread(result_key, spec, request, seed, context.contents, profile)
    except Exception:  # the files are made, and the job is complete without it
        log.warning("result_key_unknown", exc_info=True)
        return None


def _call_generator(
    generator: Generator[Any], request: Request, context: RunContext
) -> tuple[Artifact, ...]:
    """Call the generator in its thread, and check that it returned files with distinct names.

    Every generator is called here and nowhere else. It translates the errors of its models to a
    ``JobFailure`` itself (``generators/common/errors.py``), because this module may not load them.
    """
    artifacts = generator.generate(request, context)
    names = {artifact.path.name for artifact in artifacts}
    if not artifacts or len(names) != len(artifacts):
        raise ValueError(f"a generator gave {len(artifacts)} artifacts of {len(names)} names")
    return tuple(artifacts)


async def _stop_overtime(attempt: _Attempt, thread: asyncio.Future[Any]) -> AttemptResult:
    """Stop a generator that runs longer than its spec allows, and wait a moment for its thread."""
    max_seconds = attempt.loaded.spec.max_seconds
    attempt.context.stop(StopReason.OVERTIME)
    log.error("job_took_too_long", max_seconds=max_seconds)
    done, _ = await asyncio.wait({thread}, timeout=STOP_TIMEOUT_S)
    for future in done:
        future.exception()  # retrieved, so that asyncio does not report it as never retrieved
    return AttemptResult.failed(failures.time_limit_exceeded(max_seconds), stuck=not done)


async def _upload(attempt: _Attempt, result: AttemptResult) -> AttemptResult:
    """Store the generator's files. A result without files passes through unchanged."""
    stores, context = attempt.stores, attempt.context
    context.enter_stage("uploading")
    if result.outcome is not Outcome.SUCCEEDED:
        return result
    try:
        # A drain does not stop the upload: the job is almost done.
        upload = upload_outputs(stores, attempt.job, context, result.artifacts)
        outputs = await run_until_stopped(context, upload, (StopReason.CANCELED, StopReason.LOST))
    except Stopped:
        return _stopped_result(context)
    except (AttemptLost, *STORE_DOWN):
        raise
    except Exception:
        log.exception("upload_failed")
        return AttemptResult.failed(failures.generator_error())
    return replace(result, outputs=outputs)


async def _settle(attempt: _Attempt, result: AttemptResult) -> Job:
    """Write the final status and book the credits, in one transaction."""
    attempt.context.enter_stage("settling")
    return await settle_attempt(attempt.stores, attempt.job, attempt.context, result.settlement)


async def _give_up(stores: Stores, job: Job, lost: DeviceLost) -> None:
    """Leave the job to maintenance, which asks whether the GPU manager crashed."""
    log.warning("device_lost", manager=lost.manager)

    async def expire_once() -> None:
        async with stores.sessions.begin() as session:
            await transitions.expire_lease(session, job.id, job.attempt, lost.manager)

    await retry_while_unavailable("give up", expire_once, STORE_TIMEOUT_S)


async def _document(attempt: _Attempt, ended: Job) -> None:
    """Write the metadata document, and the spans. The job is complete without them."""
    record_outcome(ended, attempt.context)
    attempt.context.add_line(*_last_line(ended))
    await write_metadata(attempt.stores, ended, attempt.context)


def _last_line(ended: Job) -> tuple[str, Level]:
    if ended.error is not None:
        return f"{ended.status}: {ended.error['detail']}", "error"
    files, credits = len(ended.outputs), ended.credits_charged
    return f"{ended.status}: {files} files, {credits} credits charged", "info"


def _failed_result(failure: JobFailure) -> AttemptResult:
    log.info("job_failed", code=failure.code)
    return AttemptResult.failed(failures.job_failure(failure))


def _stopped_result(context: RunContext) -> AttemptResult:
    """The result of a stage that ended with ``Stopped``: the stop's reason decides.

    Raises:
        AttemptLost: another attempt owns the job.
    """
    match context.stop_reason:
        case StopReason.LOST:
            raise AttemptLost
        case StopReason.DRAINED:
            return AttemptResult(Outcome.DRAINED)
        case StopReason.CANCELED:
            return _canceled_result(context)
        case _:
            log.error("generator_canceled_itself")
            return AttemptResult.failed(failures.generator_error())


def _canceled_result(context: RunContext) -> AttemptResult:
    fraction, _ = context.state
    return AttemptResult(Outcome.CANCELED, charged_fraction=fraction)
