"""Prefixed ULIDs: sortable by time, safe in URLs, and telling what they name."""

from __future__ import annotations

from ulid import ULID


def new_id(prefix: str) -> str:
    """A fresh id such as ``job_01JABC...``; ids of one prefix sort by creation (ms)."""
    return f"{prefix}_{ULID()}"
