"""The queue and all else in Redis on a real cluster, through the loss of the node that has it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import pytest
from redis.asyncio import Redis

import db.redis.queue_worker
from db.errors import StoreUnavailable
from db.redis.client import (
    Flags,
    get_flags,
    open_blocking,
    open_redis,
    publish_event,
    read_epoch,
    read_events,
    set_cancel_flag,
    write_epoch,
)
from db.redis.job_timings import read_job_seconds, record_job_seconds
from db.redis.queue import JobQueue, QueueCounts, message_id, read_counts
from db.redis.queue_worker import make_worker
from db.redis.subscription import Notice, open_subscription
from deployments.autoscaling.queue_reader import QueueReader
from serve_app.http.rate_limit import Bucket, RateLimiter
from serve_app.http.rates import Rate
from tests.support.redis_cluster import OUR_SLOT, Cluster, cluster
from tests.support.waiting import HANG_S, until


@pytest.fixture(scope="module")
def steady() -> Iterator[Cluster]:
    """For tests that leave its nodes as they are."""
    with cluster() as started:
        yield started


@pytest.fixture
async def redis(steady: Cluster) -> AsyncIterator[Redis]:
    client = open_redis(steady.url)
    await client.flushdb()
    yield client
    await client.aclose()


@asynccontextmanager
async def queue_of(url: str) -> AsyncIterator[JobQueue]:
    queue = JobQueue.open(url, "image")
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def working(url: str, seconds: float = 0.0) -> AsyncIterator[list[str]]:
    """The jobs that a worker has done so far; at the end it drains, in time."""
    done: list[str] = []

    async def process(job_id: str, attempt_no: int) -> None:
        await asyncio.sleep(seconds)
        done.append(job_id)

    worker = make_worker(url, "image", process)
    running = asyncio.create_task(worker.run())
    try:
        yield done
        assert not running.done()
    finally:
        async with asyncio.timeout(HANG_S):
            await worker.drain()
            await running


def reader_of(url: str) -> QueueReader:
    return QueueReader(url, ["image"], nodes=list)


async def push_stubbornly(queue: JobQueue, job_id: str) -> None:
    """As the keeper does, from the outbox, until the message is there."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                return await queue.push(job_id, 1, 5)
            except StoreUnavailable:
                await asyncio.sleep(0.2)


async def test_a_queue_is_filled_asked_reordered_and_paused(redis: Redis, steady: Cluster) -> None:
    async with queue_of(steady.url) as queue:
        for number in range(4):
            await queue.push(f"job_{number}", 1, 10 + number)
        assert await queue.counts() == QueueCounts(waiting=4, active=0)
        assert await queue.position("job_3", 1) == 3
        await queue.push("job_3", 1, 0)
        assert await queue.position("job_3", 1) == 0
        assert await queue.remove("job_1", 1)
        known = await queue.contains([message_id(f"job_{number}", 1) for number in range(4)])
        assert known == {"job_0-1", "job_2-1", "job_3-1"}
        await queue.set_paused(True)
        async with working(steady.url) as done:
            await asyncio.sleep(0.5)
            assert (done, await queue.counts()) == ([], QueueCounts(3, 0, paused=True))
            await queue.set_paused(False)
            await until(lambda: len(done) == 3)
            assert done == ["job_3", "job_0", "job_2"]
            await until(lambda: queue_is_empty(steady))
    assert await queue.counts() == QueueCounts(0, 0)


def queue_is_empty(steady: Cluster) -> bool:
    with open_blocking(steady.url, 2.0) as client:
        return read_counts(client, ["image"]) == {"image": QueueCounts(0, 0)}


async def test_all_else_is_there_too(redis: Redis, steady: Cluster) -> None:
    assert await read_epoch(redis) is None
    assert await write_epoch(redis) == await read_epoch(redis)
    await set_cancel_flag(redis, "job_a")
    assert await get_flags(redis, ["job_a", "job_b"]) == [Flags(False, True), Flags(False, False)]
    async with open_subscription(redis) as subscription:
        await subscription.subscribe(["job_a"])
        assert await subscription.next() == Notice("job_a", None)
        await publish_event(redis, "job_a", {"type": "done"})
        assert await subscription.next() == Notice("job_a", "done")
    assert [event for _, event in await read_events(redis, "job_a", "0-0")] == [{"type": "done"}]
    limiter, rate = RateLimiter(redis), Rate(per_minute=1, burst=2)
    buckets = Bucket("read", "usr_a", rate), Bucket("read-key", "key_a", rate)
    taken = [await limiter.take("read", *buckets) for _ in range(3)]
    assert [one.exceeded for one in taken] == [False, False, True]
    await record_job_seconds(redis, "image", 10.0, sample_weight=0.2)
    with open_blocking(steady.url, 2.0) as client:
        assert read_job_seconds(client, ["image", "video3d"]) == {"image": 10.0}


async def test_every_key_is_in_the_one_slot(redis: Redis, steady: Cluster) -> None:
    await test_all_else_is_there_too(redis, steady)
    async with queue_of(steady.url) as queue:
        await queue.push("job_a", 1, 5)
    held = {node: node.client.dbsize() for node in steady.masters}
    assert held.pop(steady.owner) == int(steady.owner.ask("CLUSTER COUNTKEYSINSLOT", OUR_SLOT)) > 5
    assert set(held.values()) == {0}


async def test_the_owner_is_found_while_named_nodes_are_away(steady: Cluster) -> None:
    away = steady.url.replace("@", "@127.0.0.1:1,")
    for _ in range(4):  # nodes are asked in any order
        client = open_redis(away)
        assert await client.dbsize() >= 0
        await client.aclose()


async def test_a_cluster_that_is_away_is_unavailable_soon() -> None:
    client = open_redis("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await read_epoch(client)
    assert time.monotonic() - began < 30
    await client.aclose()


async def test_work_goes_on_after_the_owner_was_killed() -> None:
    """What a worker holds is finished, what waits is run, and what comes is taken."""
    with cluster(timeout_ms=1000) as failing, closing(reader_of(failing.url)) as depths:
        await until(lambda: depths.latest() is not None)
        async with queue_of(failing.url) as queue, working(failing.url, seconds=0.3) as done:
            for number in range(6):
                await queue.push(f"job_{number}", 1, 5)
            await until(lambda: len(done) == 2)
            failing.await_replica()
            failing.owner.kill()
            killed = time.monotonic()
            await push_stubbornly(queue, "job_late")
            await until(lambda: len(done) == 7)
            assert done == [*(f"job_{number}" for number in range(6)), "job_late"]
            failing.await_takeover()
            latest = depths.latest
            await until(lambda: (reading := latest()) is not None and reading.at > killed)
            assert await queue.counts() == QueueCounts(0, 0)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
async def test_who_polls_a_cluster_that_is_away_polls_on() -> None:
    with closing(reader_of("redis+cluster://127.0.0.1:1")) as reader:
        assert reader.latest() is None
        polling = reader._thread
        await asyncio.sleep(1)
        assert reader.latest() is None
        assert reader._thread is polling


async def next_events(client: Redis, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Wait for them as an ingress does: told by a subscription, which it opens anew if it must."""
    while True:
        with suppress(StoreUnavailable):
            async with open_subscription(client) as subscription:
                await subscription.subscribe([job_id])
                while not (found := await read_events(client, job_id, "0-0")):
                    await subscription.next()
                return found
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("how", ["a failover", "a move of the slot"])
async def test_a_planned_change_of_the_owner_is_hardly_noticed(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker waits in a blocking read, and a subscriber, on the old owner, which stays alive."""
    monkeypatch.setattr(db.redis.queue_worker, "IDLE_WAIT_S", 9)  # longer than the test waits
    with cluster() as changing:
        client = open_redis(changing.url)
        news = asyncio.create_task(next_events(client, "job_a"))
        async with queue_of(changing.url) as queue, working(changing.url) as done:
            await queue.push("job_before", 1, 5)
            await until(lambda: done == ["job_before"])
            await asyncio.sleep(0.3)
            if how == "a failover":
                changing.fail_over()
            else:
                changing.move_slot()
            await push_stubbornly(queue, "job_after")
            await until(lambda: done == ["job_before", "job_after"], seconds=8)
            await publish_event(client, "job_a", {"type": "done"})
            assert [event for _, event in await news] == [{"type": "done"}]
        await client.aclose()
