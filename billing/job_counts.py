"""Count the jobs that ended: how, whose fault it was, and how long each part took."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from db.after_commit import after_commit
from db.tables import Job
from metrics import catalog

# The codes of failures that are ours (``deployments.error_codes``): all others come from the input,
# or from what is installed here.
SERVICE_FAULTS = frozenset(
    {
        "expired",
        "generator_error",
        "models_busy",
        "out_of_memory",
        "quarantined",
        "time_limit_exceeded",
        "worker_lost",
    }
)


# What becomes of a job, and whose fault it was.
ENDS = (("succeeded", "none"), ("failed", "input"), ("failed", "service"), ("canceled", "none"))


def start_counts(generators: Iterable[str]) -> None:
    """Show the counters of jobs that ended at zero, so that the first failure is an increase."""
    for generator in generators:
        for outcome, fault in ENDS:
            catalog.JOBS_ENDED.start(generator=generator, outcome=outcome, fault=fault)


def count_end(session: AsyncSession, ended: Job) -> None:
    """Count ``ended``, as it is now, once its transaction has committed."""
    generator, outcome = ended.generator, ended.status
    fault = _fault(ended)
    created, started, finished = ended.created_at, ended.started_at, ended.finished_at
    assert finished is not None, "a job that ended says when"
    priority = ended.priority

    def count() -> None:
        catalog.JOBS_ENDED.inc(generator=generator, outcome=outcome, fault=fault)
        total_s = (finished - created).total_seconds()
        catalog.JOB_TOTAL.observe(total_s, generator=generator, outcome=outcome)
        if started is not None:
            wait_s = (started - created).total_seconds()
            catalog.JOB_WAIT.observe(wait_s, generator=generator, priority=priority)
            run_s = (finished - started).total_seconds()
            catalog.JOB_RUN.observe(run_s, generator=generator, outcome=outcome)

    after_commit(session, count)


def _fault(ended: Job) -> str:
    if ended.status != "failed":
        return "none"
    code = (ended.error or {}).get("code")
    return "service" if code in SERVICE_FAULTS else "input"
