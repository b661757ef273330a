"""Jobs as fal's clients read them: the state of a request, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.tables import Job
from serve_app.fal.errors import error_type
from serve_app.fal.models import OWNER
from serve_app.jobs.failure import failure
from serve_app.jobs.schemas import JobView, LogLineView, OutputView

_LEVELS: Mapping[str, str] = {"info": "INFO", "warning": "WARN", "error": "ERROR"}


def request_urls(base_url: str, endpoint: str, job_id: str) -> dict[str, str]:
    """Return where the request is followed. ``endpoint`` is ``owner/app``, a path may follow."""
    parts = endpoint.split("/")
    owner_and_app = "/".join(parts[:2]) if len(parts) > 1 else f"{OWNER}/{endpoint}"
    here = f"{base_url}fal/queue/{owner_and_app}/requests/{job_id}"
    return {
        "request_id": job_id,
        "response_url": here,
        "status_url": f"{here}/status",
        "cancel_url": f"{here}/cancel",
    }


def request_state(job: Job, view: JobView, lines: Sequence[LogLineView] = ()) -> dict[str, Any]:
    """Describe how far a job is. A failed one is completed, with an error."""
    if job.status == "queued":
        return {"status": "IN_QUEUE", "queue_position": view.queue_position or 0}
    logs = [_line(line) for line in lines]
    if job.status == "running":
        return {"status": "IN_PROGRESS", "logs": logs}
    state: dict[str, Any] = {"status": "COMPLETED", "logs": logs, "metrics": _metrics(job)}
    if job.status != "succeeded":
        problem = failure(job.error, job.status)
        state |= {"error": problem.detail, "error_type": error_type(problem)}
    return state


def result(job: Job, view: JobView) -> dict[str, Any]:
    """Return the files of a job that succeeded, under the names that fal's models have.

    Raises:
        JobFailed, JobRefused: it made none.
    """
    if job.status != "succeeded":
        raise failure(job.error, job.status)
    files = [(output.kind, _file(output)) for output in view.outputs]
    images = [file for kind, file in files if kind == "image"]
    videos = [file for kind, file in files if kind == "video"]
    others = [file for kind, file in files if kind not in ("image", "video")]
    answer: dict[str, Any] = {"seed": job.seed, "timings": _metrics(job)}
    if isinstance(prompt := job.input.get("prompt"), str):
        answer["prompt"] = prompt
    if images:
        answer |= {"images": images, "image": images[0]}
    if videos:
        answer["video"] = videos[0]
    if others:
        answer["files"] = others
    return answer


def _file(output: OutputView) -> dict[str, Any]:
    return {
        "url": output.url,
        "content_type": output.content_type,
        "file_name": output.name,
        "file_size": output.bytes,
        "width": output.width,
        "height": output.height,
    }


def _line(line: LogLineView) -> dict[str, Any]:
    return {
        "message": line.message,
        "level": _LEVELS[line.level],
        "source": "USER",
        "timestamp": line.time.isoformat(),
    }


def _metrics(job: Job) -> dict[str, float]:
    if job.started_at is None or job.finished_at is None:
        return {}
    return {"inference_time": (job.finished_at - job.started_at).total_seconds()}
