"""Replicate's predictions: jobs, and inputs with the names that Replicate's models have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import BadInput
from serve_app.http.schemas import Body, View
from serve_app.jobs.schemas import JobView, LogLineView
from serve_app.replicate.models import OWNER

Status = Literal["starting", "processing", "succeeded", "failed", "canceled"]
STATUSES: Mapping[str, Status] = {
    "queued": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
# What models of Replicate call the fields of our generators.
FIELDS: Mapping[str, str] = {
    "num_outputs": "n",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "output_format": "format",
    "output_quality": "quality",
    "prompt_strength": "strength",
    "image": "init_image",
}


class PredictionBody(Body):
    """What Replicate's clients send. A ``webhook`` is refused: ours say it in another form."""

    input: dict[str, Any]
    version: str | None = None
    model: str | None = None
    webhook: str | None = None
    webhook_events_filter: list[str] | None = None
    webhook_completed: str | None = None
    stream: bool | None = None


class PredictionView(View):
    """A job, as Replicate describes a prediction."""

    id: str
    model: str
    version: str
    status: Status
    input: dict[str, Any]
    output: Any
    logs: str
    error: str | None
    metrics: dict[str, float]
    created_at: str
    started_at: str | None
    completed_at: str | None
    urls: dict[str, str]


def refuse_webhooks(body: PredictionBody) -> None:
    """Raise BadInput for a request that wants to be told by a webhook."""
    if body.webhook or body.webhook_completed:
        words = "webhooks are sent for jobs of /v1 only"
        raise BadInput(words, errors=[{"loc": ["webhook"], "msg": words, "code": "not_supported"}])


def prediction_view(
    job: Job,
    view: JobView,
    base_url: str,
    lines: Sequence[LogLineView] = (),
    *,
    waited: bool = False,
) -> PredictionView:
    """Describe a job; ``waited`` if the client takes any status but ``starting`` as the end.

    Its ``logs`` end with a bar, by which Replicate's clients know how far it is.
    """
    unfinished = waited and job.status not in FINAL_STATUSES
    here = f"{base_url}replicate/v1/predictions/{job.id}"
    done = round(100 * job.progress)
    seconds: dict[str, float] = {}
    if job.started_at is not None and job.finished_at is not None:
        seconds = {
            "predict_time": (job.finished_at - job.started_at).total_seconds(),
            "total_time": (job.finished_at - job.created_at).total_seconds(),
        }
    return PredictionView(
        id=job.id,
        model=f"{OWNER}/{job.generator}",
        version=job.price_version,
        status="starting" if unfinished else STATUSES[job.status],
        input=job.input,
        output=_output(view),
        logs="".join(f"{line.message}\n" for line in lines)
        + f"{done:3d}%|{'#' * (done // 10):10}| {done}/100 {job.stage}\n",
        error=view.error.detail if view.error is not None else None,
        metrics=seconds,
        created_at=job.created_at.isoformat(),
        started_at=job.started_at.isoformat() if job.started_at else None,
        completed_at=job.finished_at.isoformat() if job.finished_at else None,
        urls={"get": here, "cancel": f"{here}/cancel"},
    )


def _output(view: JobView) -> list[str] | str | None:
    """The link of a film, or those of all files."""
    if view.status != "succeeded":
        return None
    for output in view.outputs:
        if output.kind == "video":
            return output.url
    return [output.url for output in view.outputs]
