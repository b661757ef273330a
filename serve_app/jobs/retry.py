"""Retry a job: a new job with its input, or one that makes a scene of its film again."""

from __future__ import annotations

from typing import Any

from db.operations.audit_log import JobAudit
from db.tables import FINAL_STATUSES, Job
from deployments.contract import GeneratorSpec
from serve_app.auth.identity import Identity
from serve_app.http.errors import BadInput, JobNotFinal
from serve_app.jobs.read import get_job
from serve_app.jobs.schemas import RetryBody, SubmitBody
from serve_app.jobs.submit import Submission, submit
from serve_app.resources import Clients


async def retry(
    clients: Clients,
    identity: Identity,
    job_id: str,
    body: RetryBody,
    idempotency_key: str | None,
    request_id: str,
    audit: JobAudit | None = None,
) -> Submission:
    """Submit a new job, which is checked, quoted and charged like any other; ``audit`` gets it.

    Raises:
        NotFound: also for another user's job, and an erased one.
        JobNotFinal: it waits or runs.
        BadInput: the input names a deleted file, or ``scene`` is set and the job has no scenes.
        NotEnoughCredits: the balance does not cover the quote.
    """
    job = await get_job(clients, identity.user_id, job_id)
    if job.status not in FINAL_STATUSES:
        raise JobNotFinal
    again = SubmitBody.model_validate(
        {
            "generator": job.generator,
            "input": job.input if body.scene is None else _scene_input(clients, job, body.scene),
            "priority": job.priority,
            "metadata": job.user_metadata,
            "webhook_url": job.webhook_url,
        }
    )
    # Whoever asks for it again wants it made again.
    return await submit(
        clients, identity, again, idempotency_key, request_id, audit=audit, fresh=True
    )


def _scene_input(clients: Clients, job: Job, scene: int) -> dict[str, Any]:
    """Return the input that makes one scene again with another seed and keeps the others."""
    spec = clients.catalog.get(job.generator)
    if spec is None or not supports_scene_retry(spec):
        fault = f"{job.generator} makes no films of scenes"
        raise BadInput(errors=[{"loc": ["scene"], "msg": fault, "code": "no_scenes"}])
    return {"earlier": job.id, "scenes": [scene]}


def supports_scene_retry(spec: GeneratorSpec[Any]) -> bool:
    """Return whether an input of the generator can name scenes of an earlier job."""
    return {"earlier", "scenes"} <= spec.request.model_fields.keys()
