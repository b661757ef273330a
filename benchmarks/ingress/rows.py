"""The accounts of the clients, and jobs that are in the table before anything is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.stores import GENERATOR, PLENTY
from billing import ledger
from db.accounts import users
from db.ids import new_id
from db.session import make_sessions, open_engine
from db.tables import Job, User
from serve_app.auth.api_keys import USER_SCOPES, create_api_key


@dataclass(frozen=True)
class Caller:
    """A user, and an API key of that user."""

    user_id: str
    api_key: str


# Half of the jobs are the first caller's. Ids are in the order of time and lower than those of any
# job that is submitted; jobs are free, so that the books agree.
_FILL = text("""
    INSERT INTO jobs (
        id, user_id, generator, status, input, seed, attempt, queue_tag, queue_cost, progress,
        stage, outputs, credits_quoted, credits_held, price_version, quote, metadata, request_id,
        replica, created_at, started_at, heartbeat_at, finished_at
    )
    SELECT
        'job_' || lpad(CAST(n AS text), 26, '0'),
        (CAST(:owners AS text[]))[CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n / 2 % (:count - 1) END],
        :generator,
        'succeeded',
        jsonb_build_object('prompt', 'a small red star on a white background, seen at dusk, the '
            || n || 'th of many pictures of stars', 'seed', n, 'steps', 20, 'guidance', 3.0),
        n, 1, n, 1, 1, 'done',
        jsonb_build_array(jsonb_build_object(
            'name', 'image-0.png', 'kind', 'image', 'content_type', 'image/png', 'bytes', 48213,
            'width', 512, 'height', 512, 'duration_s', NULL,
            'sha256', encode(sha256(CAST(CAST(n AS text) AS bytea)), 'hex'),
            'object_key', 'outputs/usr_01JZZZZZZZZZZZZZZZZZZZZZZZ/job_'
                || lpad(CAST(n AS text), 26, '0') || '/1-image-0.png')),
        0, 0, 'image-1',
        jsonb_build_array(jsonb_build_object('item', 'images', 'quantity', 1, 'credits', 0)),
        jsonb_build_object('order', n),
        'req_' || lpad(CAST(n AS text), 26, '0'), 'image@node',
        moment, moment + interval '2 s', moment + interval '3 s', moment + interval '4 s'
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n,
        LATERAL (SELECT now() - (2000000 - n) * interval '1 s' AS moment) AS then_
""")


def make_callers(database_url: str, count: int) -> list[Caller]:
    """Make accounts with credits and turns for anything, each with a key."""

    async def make(session: AsyncSession) -> Caller:
        user = await users.add(session, f"{new_id('u')}@example.com".lower(), "no password")
        assert user is not None
        await ledger.grant(session, user.id, PLENTY, new_id("bench"), "plenty")
        await session.execute(update(User).where(User.id == user.id).values(plan="unlimited"))
        _, key = await create_api_key(session, user.id, "benchmark", USER_SCOPES)
        return Caller(user.id, key)

    async def make_all() -> list[Caller]:
        engine = open_engine(database_url)
        try:
            async with make_sessions(engine).begin() as session:
                return [await make(session) for _ in range(count)]
        finally:
            await engine.dispose()

    return asyncio.run(make_all())


def fill_jobs(database_url: str, callers: list[Caller], first: int, last: int) -> None:
    """Insert the jobs number ``first`` to ``last``, which ended, in one statement; then ANALYZE."""

    async def fill() -> None:
        engine = open_engine(database_url)
        try:
            async with make_sessions(engine).begin() as session:
                owners = [caller.user_id for caller in callers]
                values = {"owners": owners, "count": len(owners), "generator": GENERATOR}
                await session.execute(_FILL, values | {"first": first, "last": last})
            async with engine.connect() as connection:
                autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
                # What the inserts left behind is done away with now, not while it is measured.
                await autocommit.execute(text("VACUUM (ANALYZE) jobs"))
                await autocommit.execute(text("CHECKPOINT"))
        finally:
            await engine.dispose()

    asyncio.run(fill())


def jobs_of(database_url: str, caller: Caller, status: str, skip: float, limit: int) -> list[str]:
    """Ids of the caller's jobs of that status, newest first, behind a share ``skip`` of them."""

    async def read() -> list[str]:
        engine = open_engine(database_url)
        try:
            async with make_sessions(engine)() as session:
                mine = (Job.user_id == caller.user_id, Job.status == status)
                there = await session.scalar(select(func.count()).where(*mine)) or 0
                found = select(Job.id).where(*mine).order_by(Job.id.desc())
                rows = await session.scalars(found.offset(int(skip * there)).limit(limit))
                return list(rows.all())
        finally:
            await engine.dispose()

    return asyncio.run(read())
