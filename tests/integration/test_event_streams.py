"""Many event streams and waiting requests at once: their bounds, and what they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import Gauge
from redis.asyncio import Redis
from sqlalchemy import event, update

from billing.plans import DEFAULT
from db.errors import StoreUnavailable
from db.ids import new_id
from db.redis.client import publish_event
from db.redis.subscription import Notice, open_subscription
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import User
from deployments.messaging.job_events import done_event, progress_event, publish_done
from serve_app.http.errors import TooManyStreams, Unavailable
from serve_app.jobs import job_watch
from serve_app.limits.open_streams import OpenStreams
from tests.support.http import Person, Stream, World, listening, problem, served
from tests.support.jobs import claim
from tests.support.waiting import until

FREE = DEFAULT.max_streams or 0


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings) as started:
        yield started


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are looked at all the time; ask for it before the API."""
    monkeypatch.setattr(job_watch, "POLL_INTERVAL_S", 0.1)
    monkeypatch.setattr(job_watch, "POLL_INTERVAL_WITHOUT_REDIS_S", 0.1)


@pytest.fixture
def rare_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are not looked at while a test lasts; ask for it before the API."""
    monkeypatch.setattr(job_watch, "POLL_INTERVAL_S", 3600.0)
    monkeypatch.setattr(job_watch, "POLL_INTERVAL_WITHOUT_REDIS_S", 3600.0)


@asynccontextmanager
async def many(person: Person, job_ids: list[str]) -> AsyncIterator[list[Stream]]:
    """A stream of each job; their first event is read."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(person, each)) for each in job_ids]
        for stream in streams:
            await stream.next()
        yield streams


async def open_now(person: Person) -> int:
    return int((await person.get("/v1/limits")).json()["streams"]["now"])


# The bound of a user


async def test_a_user_has_as_many_streams_as_the_plan_allows(api: World, ada: Person) -> None:
    job_id = await ada.job()
    grace = await api.guest()
    path = f"/v1/jobs/{job_id}"
    async with AsyncExitStack() as stack:
        async with many(ada, [job_id]):
            await stack.enter_async_context(many(ada, [job_id] * (FREE - 1)))
            assert (await ada.get("/v1/limits")).json()["streams"] == {"now": FREE, "max": FREE}
            for refused in (f"{path}/events", f"{path}?wait=5"):
                answer = await ada.get(refused)
                problem(answer, 429, "too_many_streams")
                assert int(answer.headers["retry-after"]) > 0
            assert (await ada.get(path)).status_code == 200
            async with many(grace, [await grace.job()]):
                assert await open_now(grace) == 1
        await until(lambda: has_open(ada, FREE - 1))
        async with many(ada, [job_id]):
            assert await open_now(ada) == FREE


async def has_open(person: Person, count: int) -> bool:
    return await open_now(person) == count


async def test_a_better_plan_allows_more(api: World, ada: Person) -> None:
    await set_plan(api, ada, "pro")
    async with many(ada, [await ada.job()] * (FREE + 1)):
        assert (await ada.get("/v1/limits")).json()["streams"] == {"now": FREE + 1, "max": 300}
    await set_plan(api, ada, "unlimited")
    assert (await ada.get("/v1/limits")).json()["streams"]["max"] is None


async def set_plan(api: World, person: Person, plan: str) -> None:
    async with api.sessions.begin() as session:
        await session.execute(update(User).where(User.id == person.id).values(plan=plan))


async def test_a_waiting_request_counts_until_its_client_leaves(api: World, ada: Person) -> None:
    job_id = await ada.job()
    waiting = asyncio.create_task(ada.get(f"/v1/jobs/{job_id}?wait=60"))
    await until(lambda: has_open(ada, 1))
    waiting.cancel()
    await until(lambda: has_open(ada, 0))


async def test_a_job_that_is_not_there_is_not_counted(api: World, ada: Person) -> None:
    unknown = f"/v1/jobs/{new_id('job')}"
    for path in (f"{unknown}/events", f"{unknown}?wait=5"):
        problem(await ada.get(path), 404, "not_found")
    assert await open_now(ada) == 0


async def test_whatever_ends_a_stream_its_place_is_free_again() -> None:
    streams = OpenStreams(1, Gauge("streams", "of a test", registry=None))
    with pytest.raises(RuntimeError), streams.admit("usr_a", "free"):
        raise RuntimeError
    holding = asyncio.Event()

    async def hold() -> None:
        with streams.admit("usr_a", "free"):
            holding.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(hold())
    await holding.wait()
    with pytest.raises(Unavailable), streams.admit("usr_b", "free"):
        pass
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert streams.count("usr_a") == 0
    with streams.admit("usr_b", "free"):
        assert streams.count("usr_b") == 1


def test_an_unknown_plan_has_the_bound_of_the_default() -> None:
    streams = OpenStreams(1000, Gauge("streams", "of a test", registry=None))
    with ExitStack() as stack:
        for _ in range(FREE):
            stack.enter_context(streams.admit("usr_a", "gone"))
        with pytest.raises(TooManyStreams):
            stack.enter_context(streams.admit("usr_a", "gone"))


# The bound of a process


async def test_a_full_process_sheds_streams_and_does_all_else(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    async with served(store_settings, MAX_STREAMS=2) as api:
        ada, grace = await api.guest(), await api.guest()
        async with many(ada, [await ada.job()] * 2):
            # Not even whether there is such a job is looked up.
            unknown = f"/v1/jobs/{new_id('job')}"
            for path in (f"{unknown}/events", f"{unknown}?wait=5"):
                answer = await grace.get(path)
                problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) > 0
            job_id = await grace.job()
            assert (await grace.get(f"/v1/jobs/{job_id}")).json()["status"] == "queued"
        await until(lambda: has_open(ada, 0))
        async with many(grace, [job_id]):
            assert await open_now(grace) == 1


# What the streams share


async def subscribers(redis: Redis) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await redis.client_list(_type="pubsub")
    return found


async def test_idle_streams_share_one_connection_and_one_query(
    quick_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    statements: list[str] = []

    def note(*executed: Any) -> None:
        statements.append(executed[2])

    await set_plan(api, ada, "pro")
    job_ids = [await ada.job() for _ in range(4)]
    unbounded = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=api.http.base_url, timeout=90, limits=unbounded) as http:
        follower = Person(World(api.api, http), ada.id, ada.email, ada.tokens)
        async with many(follower, job_ids):
            few = len(await redis.client_list())
            async with many(follower, job_ids * 50):
                [subscriber] = await subscribers(redis)
                assert int(subscriber["sub"]) == len(job_ids)
                engine = api.clients.engine.sync_engine
                event.listen(engine, "before_cursor_execute", note)
                await until(lambda: len(statements) >= 5)
                event.remove(engine, "before_cursor_execute", note)
                assert all("jobs.id IN" in statement for statement in statements)
                assert len(await redis.client_list()) <= few + job_watch.READS_AT_A_TIME


async def test_every_stream_hears_of_its_own_job_at_once(
    rare_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    job_ids = [await ada.job() for _ in range(4)]
    async with many(ada, job_ids * 5) as streams:
        for number, job_id in enumerate(job_ids):
            await publish_event(redis, job_id, progress_event(number / 10, "drawing"))
        heard = await asyncio.gather(*(stream.next() for stream in streams))
        assert [told.data["fraction"] for told in heard] == [0.0, 0.1, 0.2, 0.3] * 5


async def test_a_job_that_nobody_follows_is_not_subscribed_to(
    api: World, ada: Person, redis: Redis
) -> None:
    job_ids = [await ada.job() for _ in range(2)]

    async def subscriptions(count: int) -> bool:
        return sum(int(one["sub"]) for one in await subscribers(redis)) == count

    async with many(ada, job_ids[:1]):
        async with many(ada, job_ids):
            await until(lambda: subscriptions(2))
        await until(lambda: subscriptions(1))
    await until(lambda: subscriptions(0))


async def test_events_that_nobody_heard_of_come_with_the_next_subscription(
    rare_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    waiting = asyncio.create_task(ada.get(f"/v1/jobs/{job_id}?wait=60"))
    async with listening(ada, job_id) as stream:
        await stream.next()
        await until(lambda: has_open(ada, 2))
        await until(lambda: subscribers(redis))
        for number in range(1, 4):
            assert await redis.client_kill_filter(_type="pubsub") == 1
            await publish_event(redis, job_id, progress_event(number / 10, "drawing"))
            assert (await stream.next()).data["fraction"] == number / 10
            await until(lambda: subscribers(redis))
        await redis.client_kill_filter(_type="pubsub")
        await claim(api.sessions, job_id, 1)
        await publish_done(redis, api.sessions, await api.end(job_id, "failed"))
        assert [told.name for told in await stream.rest()] == ["done"]
        assert (await waiting).json()["status"] == "failed"


async def test_the_rows_tell_while_redis_refuses_the_subscription(
    quick_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await until(lambda: subscribers(redis))
        await redis.acl_setuser("default", enabled=True, reset_channels=True)
        try:
            await redis.client_kill_filter(_type="pubsub")
            await redis.flushdb()
            await claim(api.sessions, job_id, 1)
            assert (await stream.next()).data["status"] == "running"
            await api.end(job_id, "succeeded", share=1.0)
            assert [told.name for told in await stream.rest()] == ["done"]
        finally:
            await redis.acl_setuser("default", enabled=True, channels=["*"])


async def test_the_stream_of_a_job_that_was_erased_ends(
    rare_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await claim(api.sessions, job_id, 1)
        await api.end(job_id, "failed")
        assert (await ada.delete(f"/v1/jobs/{job_id}")).status_code == 204
        await publish_event(redis, job_id, done_event("failed"))
        assert await stream.rest() == []


async def test_a_notice_says_which_job_and_what_kind(redis: Redis) -> None:
    async with open_subscription(redis) as subscription:
        await subscription.subscribe(["job_a", "job_b"])
        assert [await subscription.next() for _ in range(2)] == [
            Notice("job_a", None),
            Notice("job_b", None),
        ]
        await subscription.unsubscribe(["job_a"])
        for job_id in ("job_a", "job_c", "job_b"):
            await publish_event(redis, job_id, done_event("failed"))
        assert await subscription.next() == Notice("job_b", "done")


async def was_pinged(redis: Redis) -> bool:
    return [one["cmd"] for one in await subscribers(redis)] == ["ping"]


async def test_a_server_that_falls_silent_counts_as_away(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.redis.subscription.SILENCE_S", 1.0)
    async with open_subscription(redis) as subscription:
        await subscription.subscribe(["job_a"])
        assert await subscription.next() == Notice("job_a", None)
        quiet = asyncio.create_task(subscription.next())
        await until(lambda: was_pinged(redis))
        assert not quiet.done(), "it answers when it is asked"
        await redis.execute_command("CLIENT", "PAUSE", 4000, "ALL")
        with pytest.raises(StoreUnavailable):
            await quiet
    await redis.ping()


# Who may still listen


async def test_a_stream_ends_without_the_result_when_its_key_is_revoked(
    api: World, ada: Person
) -> None:
    made = (await ada.post("/v1/api-keys", json={"name": "leaked"})).json()
    job_id = await ada.job()
    with_key = Person(api, ada.id, ada.email, {"access_token": made["key"]})
    async with listening(with_key, job_id) as stream:
        await stream.next()
        assert (await ada.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
        assert (await ada.post(f"/v1/jobs/{job_id}/cancel")).status_code == 200
        assert "done" not in [told.name for told in await stream.rest()]


async def test_a_stream_that_is_sent_a_body_ends(api: World, ada: Person) -> None:
    """It would be read without end: a GET has none."""
    assert api.door is not None
    host, port = api.door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET /v1/jobs/{await ada.job()}/events HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: {ada.headers['Authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 60)
    assert await open_now(ada) == 1
    writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
    await until(lambda: has_open(ada, 0))
    writer.close()
