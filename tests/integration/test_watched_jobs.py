"""Pictures of a job are previewed while somebody follows its events."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from db.redis.client import get_watched, mark_watched, publish_event, watched_key
from db.session import Sessions
from db.settings import StoreSettings
from deployments.gpu_manager import watched_jobs
from deployments.gpu_manager.watched_jobs import WatchedJobs
from deployments.messaging.job_events import status_event
from tests.support.http import Person, World, listening, served
from tests.support.jobs import claim
from tests.support.waiting import until


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings) as started:
        yield started


@pytest.fixture
async def watched(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WatchedJobs]:
    monkeypatch.setattr(watched_jobs, "CHECK_INTERVAL_S", 0.01)
    jobs = WatchedJobs(redis)
    keeping = asyncio.create_task(jobs.keep_current())
    yield jobs
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def becomes(jobs: WatchedJobs, job_id: str, expected: bool) -> None:
    await until(lambda: jobs.is_watched(job_id) is expected)


async def test_a_job_at_work_is_watched_for_as_long_as_somebody_says_so(
    watched: WatchedJobs, redis: Redis
) -> None:
    with watched.at_work("job_a"), watched.at_work("job_a"), watched.at_work("job_b"):
        assert not watched.is_watched("job_a")
        await mark_watched(redis, "job_a")
        await becomes(watched, "job_a", True)
        assert not watched.is_watched("job_b")
        await redis.delete(watched_key("job_a"))
        await becomes(watched, "job_a", False)


async def test_it_asks_while_any_operation_of_the_job_is_at_work(
    watched: WatchedJobs, redis: Redis
) -> None:
    await mark_watched(redis, "job_a")
    with watched.at_work("job_a"):
        with watched.at_work("job_a"):
            await becomes(watched, "job_a", True)
        await asyncio.sleep(0.1)
        assert watched.is_watched("job_a")
    await becomes(watched, "job_a", False)


async def test_nothing_is_previewed_without_redis(redis: Redis) -> None:
    away = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    jobs = WatchedJobs(away)
    jobs._watched = frozenset({"job_a"})
    keeping = asyncio.create_task(jobs.keep_current())
    try:
        with jobs.at_work("job_a"):
            await becomes(jobs, "job_a", False)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await away.aclose()


async def test_only_a_stream_of_a_running_job_asks_for_previews(
    api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        assert await get_watched(redis, [job_id]) == set(), "there is nothing to see of it yet"
        await claim(api.sessions, job_id, 1)
        await publish_event(redis, job_id, status_event("running", 1))
        await stream.next()
        await until(lambda: get_watched(redis, [job_id]))
    await redis.delete(watched_key(job_id))
    await ada.get(f"/v1/jobs/{job_id}", params={"wait": 1})
    assert await get_watched(redis, [job_id]) == set(), "who waits for the end sees no previews"
