"""The queue as the API and the keeper use it: pushed once, ordered by tags, counted, reconciled."""

import asyncio
import socket
import time

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from db.errors import StoreUnavailable
from db.redis.queue import MAX_TAG, JobQueue, QueueCounts, message_id, queue_key
from db.redis.queue_worker import make_worker


async def served(redis_url: str, generator: str, count: int) -> list[str]:
    """The job ids in the order a single worker takes them."""
    order: list[str] = []
    done = asyncio.Event()

    async def process(job_id: str, attempt_no: int) -> None:
        order.append(job_id)
        if len(order) == count:
            done.set()

    worker = make_worker(redis_url, generator, process)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(done.wait(), 120)
    await worker.drain()
    await running
    return order


async def test_a_second_push_of_the_same_attempt_only_sets_its_tag(queue: JobQueue) -> None:
    for tag in (1, 1, 3):
        await queue.push("job_a", 1, tag)
    await queue.push("job_a", 2, 2)
    assert await queue.counts() == QueueCounts(waiting=2, active=0)
    assert [await queue.position("job_a", attempt) for attempt in (1, 2)] == [1, 0]


async def test_a_finished_attempt_may_be_pushed_again(queue: JobQueue, redis_url: str) -> None:
    await queue.push("job_a", 1, 1)
    assert await served(redis_url, "image", 1) == ["job_a"]
    assert await queue.contains([message_id("job_a", 1)]) == set()
    await queue.push("job_a", 1, 1)
    assert await served(redis_url, "image", 1) == ["job_a"]


async def test_the_lowest_tag_is_served_first_and_tags_are_exact_up_to_the_last_bit(
    queue: JobQueue, redis_url: str
) -> None:
    """BullMQ's own scores would be off: they are 2^32 times a priority of 21 bits."""
    tags = [0, 1, 2**32, 2**32 + 1, MAX_TAG - 1, MAX_TAG]
    for tag in reversed(tags):
        await queue.push(f"job_{tag}", 1, tag)
    assert await served(redis_url, "image", len(tags)) == [f"job_{tag}" for tag in tags]


@pytest.mark.parametrize("tag", [-1, MAX_TAG + 1])
async def test_a_tag_that_would_be_rounded_is_refused(queue: JobQueue, tag: int) -> None:
    with pytest.raises(ValueError, match="the tag"):
        await queue.push("job_a", 1, tag)


async def test_of_equal_tags_the_oldest_job_is_served_first(
    queue: JobQueue, redis_url: str
) -> None:
    ids = [f"job_{n}" for n in range(10)]
    for job_id in reversed(ids):
        await queue.push(job_id, 1, 5)
    assert await served(redis_url, "image", 10) == ids


async def test_position_counts_those_served_before(queue: JobQueue, redis: Redis) -> None:
    await queue.push("job_b", 1, 1)
    await queue.push("job_a", 1, 0)
    await queue.push("job_c", 1, 2)
    places = [await queue.position(job, 1) for job in ("job_a", "job_b", "job_c")]
    assert places == [0, 1, 2]
    assert await queue.position("job_a", 2) is None
    # Stalled messages are put at the head, in the list that is served first.
    await redis.zrem(queue_key("image", "prioritized"), "job_c-1")
    await redis.rpush(queue_key("image", "wait"), "job_c-1")
    places = [await queue.position(job, 1) for job in ("job_c", "job_a", "job_b")]
    assert places == [0, 1, 2]


async def test_removed_messages_are_gone_and_others_stay(queue: JobQueue) -> None:
    await queue.push("job_a", 1, 1)
    await queue.push("job_b", 1, 1)
    assert await queue.remove("job_a", 1) is True
    assert await queue.remove("job_a", 1) is False
    assert await queue.contains([message_id("job_a", 1), message_id("job_b", 1)]) == {"job_b-1"}
    assert (await queue.counts()).waiting == 1


async def test_a_message_that_a_worker_holds_is_counted_and_cannot_be_removed(
    queue: JobQueue, redis_url: str
) -> None:
    release = asyncio.Event()

    async def process(job_id: str, attempt_no: int) -> None:
        await release.wait()

    worker = make_worker(redis_url, "image", process)
    running = asyncio.create_task(worker.run())
    await queue.push("job_a", 1, 1)
    async with asyncio.timeout(60):
        while worker.active == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await queue.counts() == QueueCounts(waiting=0, active=1)
    assert await queue.remove("job_a", 1) is False
    assert await queue.contains(["job_a-1"]) == {"job_a-1"}
    assert await queue.position("job_a", 1) is None
    release.set()
    await worker.drain()
    await running
    assert await queue.counts() == QueueCounts(waiting=0, active=0)


async def test_generators_have_queues_of_their_own(queue: JobQueue, redis_url: str) -> None:
    other = JobQueue.open(redis_url, "cloth_swap")
    await other.push("job_a", 1, 1)
    assert await queue.counts() == QueueCounts(0, 0)
    assert await queue.contains(["job_a-1"]) == set()
    assert (await other.counts()).waiting == 1
    await other.close()


async def test_a_wiped_redis_is_an_empty_queue_that_can_be_filled_again(
    queue: JobQueue, redis: Redis, redis_url: str
) -> None:
    await queue.push("job_a", 1, 1)
    await redis.flushall()
    assert await queue.contains(["job_a-1"]) == set()
    await queue.push("job_a", 1, 1)
    assert await served(redis_url, "image", 1) == ["job_a"]


async def test_a_push_is_one_round_trip_and_scripts_that_redis_lost_are_given_again(
    queue: JobQueue, redis: Redis
) -> None:
    await queue.push("job_a", 1, 5)
    async with redis.monitor() as monitor:
        assert await queue.push("job_b", 1, 6) == 1
        seen = []
        async for command in monitor.listen():
            if command["client_type"] != "lua":
                seen.append(command["command"].split()[0])
            if seen[-1:] in (["EXEC"], ["SCRIPT"]):
                break
    assert seen == ["MULTI", "EVALSHA", "ZADD", "LLEN", "ZRANK", "EXEC"]
    await redis.script_flush()
    assert await queue.push("job_c", 1, 4) == 0
    assert [await queue.position(name, 1) for name in ("job_c", "job_a", "job_b")] == [0, 1, 2]


async def test_a_redis_that_lost_our_scripts_at_the_last_moment_is_unavailable(
    queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a replica takes over between the client's question for them and their use."""

    async def lose_scripts(self: Pipeline) -> None:
        await redis.script_flush()

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "load_scripts", lose_scripts)
        await redis.script_flush()
        with pytest.raises(StoreUnavailable):
            await queue.push("job_a", 1, 1)
    assert await queue.counts() == QueueCounts(0, 0)
    await queue.push("job_a", 1, 1)
    assert await queue.counts() == QueueCounts(1, 0)


async def test_without_redis_every_call_fails_within_seconds() -> None:
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        queue = JobQueue.open(f"redis://127.0.0.1:{taken.getsockname()[1]}/0", "image")
        started = time.monotonic()
        for call in (
            queue.push("job_a", 1, 1),
            queue.remove("job_a", 1),
            queue.contains(["job_a-1"]),
            queue.counts(),
            queue.position("job_a", 1),
        ):
            with pytest.raises(StoreUnavailable):
                await call
        assert time.monotonic() - started < 60
        await queue.close()
