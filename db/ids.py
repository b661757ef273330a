"""Prefixed ULIDs: sortable by time, safe in URLs, with the kind of resource as prefix."""

from __future__ import annotations

from ulid import ULID


def new_id(prefix: str) -> str:
    """Return a new id such as ``job_01JABC...``; ids of one prefix sort by creation (ms)."""
    return f"{prefix}_{ULID()}"
