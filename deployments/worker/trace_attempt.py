"""The spans of one attempt at a job (``deployments.tracing``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from db.tables import Job
from deployments import tracing
from deployments.worker.context import RunContext

# Of the notes that a generator leaves: the attribute of each.
_NOTED = {
    "model": "gen_ai.request.model",
    "memory_plan": "atelier.memory_plan",
    "steps": "atelier.steps",
    "width": "atelier.width",
    "height": "atelier.height",
}


@contextmanager
def trace_attempt(job: Job, claim_began: float) -> Iterator[None]:
    """Record an attempt that was claimed since ``claim_began`` (seconds since the epoch)."""
    if job.attempt == 1:  # when a later attempt was queued is on no row
        tracing.record("wait", job.created_at, claim_began, job.traceparent)
    tracing.record("claim", claim_began, traceparent=job.traceparent)
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "atelier",
        "gen_ai.output.type": "image" if job.generator in ("image", "cloth_swap") else "video",
        "atelier.generator": job.generator,
        "atelier.job.id": job.id,
        "atelier.attempt": job.attempt,
        "atelier.seed": job.seed,
        "enduser.id": job.user_id,
    }
    with tracing.span(
        f"generate_content {job.generator}", job.traceparent, attributes, SpanKind.CONSUMER
    ):
        yield


def record_outcome(ended: Job, context: RunContext) -> None:
    """Record the stages below the attempt, and on it what the generator noted and how it ended."""
    notes = context.notes()
    tracing.record_stages(notes.stages)
    attempt = trace.get_current_span()
    attempt.set_attribute("atelier.status", ended.status)
    for note, attribute in _NOTED.items():
        value = notes.values.get(note)
        if isinstance(value, str | bool | int | float):
            attempt.set_attribute(attribute, value)
    if ended.error is not None:
        tracing.mark_failed(attempt, ended.error["code"])
