"""What the tables are made of: the words their columns may hold, and their base class."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

JOB_STATUSES = (
    "queued",  # submit -> ; an attempt was lost (keeper) or handed back (runner): running -> queued
    "running",  # runner, by claim: queued -> running
    "succeeded",  # runner, by settle: running -> succeeded
    "failed",  # runner or keeper: running -> failed; keeper, expired: queued -> failed
    "canceled",  # cancel: queued -> canceled; runner: running -> canceled
)
FINAL_STATUSES = ("succeeded", "failed", "canceled")
PRIORITIES = ("high", "normal", "low")
DEAD_REASONS = (
    "worker_lost",  # its replicas went away three times
    "quarantined",  # it ended the process of its replica twice
)
# The order of a user's waiting jobs, with rank and id behind it; an index has it. Promoted ones
# come first, then high, normal, low: false sorts before true.
QUEUE_ORDER = ("(promoted_at IS NULL)", "(priority = 'low')", "(priority = 'normal')")
DEAD_RESOLUTIONS = ("retried", "dropped")
LEDGER_KINDS = (
    "grant",
    "purchase",
    "hold",
    "capture",
    "release",
    "refund",
    "claw_back",
    "expire",
)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        str: Text,
        int: Integer,
        float: Double,
        bool: Boolean,
    }


def one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(v) for v in values)})"
