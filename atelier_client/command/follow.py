"""Follow a job to its end, and save what it made."""

from __future__ import annotations

import math
import mimetypes
import time
from collections.abc import Sequence
from pathlib import Path

from atelier_client.client import Client
from atelier_client.command.exits import INTERRUPTED, JOB_FAILED, OK
from atelier_client.command.inputs import BadArguments
from atelier_client.command.screen import Reporter, Screen
from atelier_client.events import DoneEvent, ProgressEvent, StatusEvent
from atelier_client.jobs import Job, LogLine, Output

# So often the place in the queue is asked for. No event tells of it.
QUEUE_INTERVAL_S = 2.0
# So often a running job's log is read, at most: with its events.
LOG_INTERVAL_S = 1.0


class JobLog:
    """Prints the lines of a job's log, each once."""

    def __init__(self, client: Client, screen: Screen, job_id: str) -> None:
        self._client, self._screen, self._job_id = client, screen, job_id
        self._printed: set[LogLine] = set()
        self._looked_at = -math.inf

    def show(self, *, at_once: bool = False) -> None:
        """Print what is new; looks once in ``LOG_INTERVAL_S``, or ``at_once``."""
        now = time.monotonic()
        if not at_once and now - self._looked_at < LOG_INTERVAL_S:
            return
        self._looked_at = now
        for line in self._client.jobs.metadata(self._job_id).logs:
            if line not in self._printed:
                self._printed.add(line)
                when = line.time.astimezone().strftime("%H:%M:%S")
                self._screen.note(f"{when} {line.level:7} {line.message}")


def follow(client: Client, job: Job, reporter: Reporter, log: JobLog | None = None) -> Job:
    """Wait for the end of the job and return it; shows its place in the queue and its progress."""
    while job.status == "queued":
        ahead = job.queue_position
        reporter.show("queued" if ahead is None else f"queued, {ahead} before it", 0.0)
        job = client.jobs.get(job.id, wait_s=QUEUE_INTERVAL_S)
    if job.is_final:
        reporter.show(job.status, 1.0)
        return job
    for event in client.jobs.events(job.id):
        if log is not None:
            log.show()
        match event:
            case StatusEvent(status=status, fraction=fraction, stage=stage):
                reporter.show(stage or status, fraction or 0.0)
            case ProgressEvent(fraction=fraction, stage=stage):
                reporter.show(stage, fraction)
            case DoneEvent(job=job):
                reporter.show(job.status, 1.0)
    return job


def finish(
    client: Client,
    screen: Screen,
    job: Job,
    out: str | None,
    *,
    cancel_on_interrupt: bool,
    log: JobLog | None = None,
) -> int:
    """Follow the job, save its outputs to ``out`` (None: nowhere), and return the exit status.

    ``log`` prints the job's log meanwhile.
    """
    try:
        with screen.progress() as reporter:
            job = follow(client, job, reporter, log)
        if log is not None:
            log.show(at_once=True)
    except KeyboardInterrupt:
        if cancel_on_interrupt:
            job = client.jobs.cancel(job.id)
            screen.note(f"{job.id}: canceled")
        else:
            screen.note(
                f"{job.id} goes on: `atelier watch {job.id}` follows it, "
                f"`atelier cancel {job.id}` cancels it."
            )
        return INTERRUPTED
    saved = save(client, screen, job, out) if out is not None else []
    if screen.as_json:
        screen.answer(job)
    for path in saved if not screen.as_json else ():
        screen.result(str(path))
    if job.status == "succeeded":
        return OK
    reason = job.error.detail if job.error else ""
    screen.note(f"{job.id} is {job.status}{': ' if reason else ''}{reason}")
    return JOB_FAILED


def save(client: Client, screen: Screen, job: Job, out: str) -> Sequence[Path]:
    """Save all outputs into the folder ``out``, or the first of its type as the file ``out``.

    Raises:
        BadArguments: no output is of the type of the file.
    """
    path = Path(out)
    if not job.outputs:
        return []
    if out.endswith("/") or path.is_dir() or not path.suffix:
        return client.jobs.save(job, path)
    fitting = [output for output in job.outputs if _fits(output, path)]
    if not fitting:
        names = ", ".join(output.name for output in job.outputs)
        raise BadArguments(
            f"no output is a {path.suffix} ({names}); `atelier watch {job.id} -o FOLDER/` saves all"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(job.outputs) > 1:
        others = len(job.outputs) - 1
        screen.note(f"{others} more outputs: `atelier watch {job.id} -o FOLDER/` saves all")
    return [client.save(fitting[0], path)]


def _fits(output: Output, path: Path) -> bool:
    same_suffix = Path(output.name).suffix.lower() == path.suffix.lower()
    return same_suffix or mimetypes.guess_type(path.name)[0] == output.content_type
