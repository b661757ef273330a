"""Which jobs a page has, and in which version: whoever has rendered that version reads no more.

The version is ``xmin``, the transaction that wrote the row as it is: every change of any column is
another one, and vacuum keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, any_, bindparam, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import Job


@dataclass(frozen=True)
class JobVersion:
    """A job, and what its row is at."""

    id: str
    version: str


@dataclass(frozen=True)
class WantedPage:
    """Up to ``most`` jobs of the user, newest first, older than the id ``after``."""

    user_id: str
    after: str | None
    most: int


# Above every id, in any order of letters.
_BEHIND_ALL = "k"
# One plan serves all users. Ordered by plain ids, after an equation, it might walk the jobs of all
# users to find those of one who has none; the order that is written here only ``jobs_by_user`` has.
PAGES = text("""
    SELECT asked.number, page.id, page.version
    FROM unnest(CAST(:users AS text[]), CAST(:afters AS text[]), CAST(:mosts AS integer[]))
        WITH ORDINALITY AS asked (user_id, after, most, number),
    LATERAL (
        SELECT id, CAST(xmin AS text) AS version FROM jobs
        WHERE user_id = ANY (ARRAY[asked.user_id]) AND deleted_at IS NULL AND id < asked.after
        ORDER BY user_id, id DESC LIMIT asked.most
    ) AS page
""")


async def find_pages(
    session: AsyncSession, wanted: Sequence[WantedPage]
) -> list[Sequence[JobVersion]]:
    """Return the pages, in one round trip."""
    asked = {
        "users": [page.user_id for page in wanted],
        "afters": [page.after or _BEHIND_ALL for page in wanted],
        "mosts": [page.most for page in wanted],
    }
    found: list[list[JobVersion]] = [[] for _ in wanted]
    for number, job_id, version in await session.execute(PAGES, asked):
        found[number - 1].append(JobVersion(job_id, version))
    return [sorted(page, key=lambda job: job.id, reverse=True) for page in found]


_BY_IDS = select(Job, literal_column("CAST(jobs.xmin AS text)", Text)).where(
    Job.id == any_(bindparam("ids", type_=ARRAY(Text))),
    Job.user_id == bindparam("user_id"),
    Job.deleted_at.is_(None),
)


async def load(session: AsyncSession, user_id: str, ids: Collection[str]) -> list[tuple[Job, str]]:
    """Return those of the jobs that the user has, each with its version."""
    rows = await session.execute(_BY_IDS, {"ids": list(ids), "user_id": user_id})
    return [(job, version) for job, version in rows]
