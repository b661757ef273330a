"""Safeguards switched off, one at a time, to see whether the checker notices.

Only the harness does this, by a folder on the path of the processes it starts
(``switched_off/sitecustomize.py``): the service itself has no such switch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SITE = Path(__file__).parent / "switched_off"
SAFEGUARDS = ("fencing", "outbox", "guard")


def switch_off(safeguard: str) -> None:
    {"fencing": _fencing, "outbox": _outbox, "guard": _guard}[safeguard]()


def _fencing() -> None:
    """Attempts have no numbers: a zombie goes on, and ends what another attempt owns."""
    from db import object_store
    from db.jobs import transitions

    transitions.heartbeat = _heartbeat_of_anybody
    transitions.finish = _finish_whatever_it_is
    named = object_store.output_key

    def output_key(user_id: str, job_id: str, attempt: int, name: str) -> str:
        return named(user_id, job_id, 1, name)

    object_store.output_key = output_key


def _outbox() -> None:
    """A message that was not pushed at once is never pushed."""
    from db.outbox import rows as outbox
    from deployments.maintenance import reconcile_queues

    async def none_due(*_: Any, **__: Any) -> list[Any]:
        return []

    async def nothing(*_: Any, **__: Any) -> int:
        return 0

    outbox.due = none_due
    reconcile_queues.reconcile_queues = reconcile_queues.refill_if_wiped = nothing


def _guard() -> None:
    """Whoever settles a job settles it, be it settled or not. Nor do they hear of it before."""
    from db.jobs import transitions

    transitions.heartbeat = _heartbeat_of_anybody
    transitions.finish = _finish_whatever_it_is


async def _heartbeat_of_anybody(session: Any, job_id: str, *_: Any) -> bool | None:
    from sqlalchemy import func, update

    from db.tables import Job

    return await session.scalar(
        update(Job)
        .where(Job.id == job_id)
        .values(heartbeat_at=func.now())
        .returning(Job.cancel_requested_at.is_not(None))
    )


async def _finish_whatever_it_is(session: Any, job_id: str, **ending: Any) -> Any:
    from sqlalchemy import func, update

    from db.tables import Job

    return await session.scalar(
        update(Job)
        .where(Job.id == job_id)
        .values(
            status=ending["to_status"],
            credits_held=0,
            credits_charged=ending["charged"],
            outputs=ending["outputs"],
            error=ending["error"],
            finished_at=func.now(),
        )
        .returning(Job)
    )
