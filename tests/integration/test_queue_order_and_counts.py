"""The queue as the API and the keeper use it: pushed once, ordered fairly, counted, reconciled."""

import asyncio
import socket
import time

import pytest
from redis.asyncio import Redis

from db.errors import StoreUnavailable
from db.redis.queue import JobQueue, QueueCounts, message_id, priority_of, queue_key
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


async def test_a_second_push_of_the_same_attempt_changes_nothing(queue: JobQueue) -> None:
    for _ in range(3):
        await queue.push("job_a", 1, priority_of("normal", 0))
    await queue.push("job_a", 2, priority_of("normal", 0))
    assert await queue.counts() == QueueCounts(waiting=2, active=0)


async def test_a_finished_attempt_may_be_pushed_again(queue: JobQueue, redis_url: str) -> None:
    await queue.push("job_a", 1, 1)
    assert await served(redis_url, "image", 1) == ["job_a"]
    assert await queue.contains([message_id("job_a", 1)]) == set()
    await queue.push("job_a", 1, 1)
    assert await served(redis_url, "image", 1) == ["job_a"]


async def test_every_user_gets_a_turn_before_anyone_gets_a_second(
    queue: JobQueue, redis_url: str
) -> None:
    for n in range(20):
        await queue.push(f"job_batch{n:02}", 1, priority_of("normal", n))
    await queue.push("job_single", 1, priority_of("normal", 0))
    await queue.push("job_low", 1, priority_of("low", 0))
    await queue.push("job_high", 1, priority_of("high", 900))
    order = await served(redis_url, "image", 23)
    assert order[:3] == ["job_high", "job_batch00", "job_single"]
    assert order[3:] == [f"job_batch{n:02}" for n in range(1, 20)] + ["job_low"]


async def test_equal_priorities_are_served_in_the_order_they_came(
    queue: JobQueue, redis_url: str
) -> None:
    ids = [f"job_{n}" for n in range(10)]
    for job_id in ids:
        await queue.push(job_id, 1, 5)
    assert await served(redis_url, "image", 10) == ids


async def test_position_counts_those_served_before(queue: JobQueue, redis: Redis) -> None:
    await queue.push("job_b", 1, priority_of("normal", 1))
    await queue.push("job_a", 1, priority_of("normal", 0))
    await queue.push("job_c", 1, priority_of("low", 0))
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
