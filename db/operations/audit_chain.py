"""Check the audit log's chain of hashes, which shows a row that was changed, added or removed.

It is computed here and not by the database's function, which whoever changed a row could change
too. Whoever may do both can chain the log anew from any row on; only a hash that was kept elsewhere
shows that (``seen``). It shows rows removed from the end, too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Text, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import AuditLog

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class ChainReport:
    """``broken_id`` is the first row that does not follow from those before it, or None.

    ``rows`` are those that follow, and ``head`` is the hash of the last of them; ``has_seen`` tells
    whether the hash that was asked for is one of theirs.
    """

    rows: int
    head: str
    broken_id: int | None
    has_seen: bool


async def check(session: AsyncSession, seen: str = "") -> ChainReport:
    """Check the chain up to the first broken row; ``seen`` is a hash of an earlier report."""
    # As Postgres writes JSON: that text was hashed.
    query = select(AuditLog, cast(AuditLog.detail, Text).label("detail_text")).order_by(AuditLog.id)
    rows, head, has_seen = 0, "", seen == ""
    stream = await session.stream(query.execution_options(yield_per=_ROWS_AT_ONCE))
    async for entry, detail in stream:
        if entry.hash != _hash(head, entry, detail):
            return ChainReport(rows, head, entry.id, has_seen)
        rows, head = rows + 1, entry.hash
        has_seen = has_seen or head == seen
    return ChainReport(rows, head, None, has_seen)


def _hash(before: str, entry: AuditLog, detail: str) -> str:
    moment = entry.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = (before, str(entry.id), entry.actor, entry.action, entry.subject, detail, moment)
    parts = (hashlib.sha256(field.encode()).digest() for field in fields)
    return hashlib.sha256(b"".join(parts)).hexdigest()
