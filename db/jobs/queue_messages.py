"""The message of a queued job's next attempt, and the outbox row that asks for it."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, cast

from sqlalchemy import ColumnElement, Executable, Table, bindparam, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox import rows as outbox
from db.outbox.rows import ENQUEUE
from db.redis.queue import message_id
from db.tables import Job


def next_message_id(job: Job) -> str:
    """The name of the message that starts a queued job's next attempt."""
    return message_id(job.id, job.attempt + 1)


def enqueue_row(job: Job) -> tuple[str, str, dict[str, Any]]:
    """The topic, natural key and payload of the outbox row for a job's next attempt."""
    payload = {
        "job_id": job.id,
        "generator": job.generator,
        "attempt": job.attempt + 1,
        "queue_tag": job.queue_tag,
    }
    return ENQUEUE, next_message_id(job), payload


_JOBS = cast("Table", Job.__table__)
_MESSAGE = outbox.INSERTION.cte("message")


async def insert_with_message(session: AsyncSession, job: Job) -> Job:
    """Insert a new job and the outbox row of its first attempt, in one round trip.

    Returns the job as it is stored; ``job`` itself stays outside of the session.
    """
    columns = _columns()
    given = {f"job_{key}": value for key, value in vars(job).items() if key in columns}
    message = outbox.row(*enqueue_row(job))
    inserted = await session.scalars(_insertion(tuple(given)), {**given, **message})
    stored: Job = inserted.one()
    return stored


@cache
def _columns() -> dict[str, ColumnElement[Any]]:
    """The columns of a job by the names of its attributes."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(Job).column_attrs}


@lru_cache(maxsize=16)
def _insertion(names: tuple[str, ...]) -> Executable:
    """The statement for jobs of which these columns are given, built once: every submit runs it."""
    columns = [_columns()[name.removeprefix("job_")] for name in names]
    values = {
        column: bindparam(name, type_=column.type)
        for name, column in zip(names, columns, strict=True)
    }
    return select(Job).from_statement(
        insert(_JOBS).values(values).returning(*_JOBS.c).add_cte(_MESSAGE)
    )
