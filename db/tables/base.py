"""The base class of the tables, and the values of their columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

JOB_STATUSES = (
    "queued",  # submit -> ; attempt lost (maintenance) or drained (runner): running -> queued
    "running",  # runner, by claim: queued -> running
    "succeeded",  # runner, by settle: running -> succeeded
    "failed",  # runner or maintenance: running -> failed; maintenance, expired: queued -> failed
    "canceled",  # cancel: queued -> canceled; runner: running -> canceled
)
FINAL_STATUSES = ("succeeded", "failed", "canceled")
PRIORITIES = ("high", "normal", "low")
DEAD_REASONS = (
    "worker_lost",  # its replicas went away three times
    "quarantined",  # it ended the process of its replica twice
)
DEAD_RESOLUTIONS = ("retried", "dropped")
BACKUP_KINDS = ("base", "incremental", "wal", "objects", "drill")
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
