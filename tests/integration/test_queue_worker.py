"""A worker neither loses a message nor runs one twice, through drains, failures and outages."""

import asyncio
import socket
import time
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

import db.redis.client
import db.redis.queue_worker
from db.redis.queue import JobQueue, QueueCounts
from db.redis.queue_worker import WorkerHandle, make_worker
from tests.support.waiting import until

LONG_WAIT_S = 9  # of an idle worker; its client waits ten for an answer
AT_ONCE_S = 8
LONGER_THAN_A_LOCK_S = 7  # of ``short_locks``


@pytest.fixture
def short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of five seconds, so that a test sees in seconds what a lost lock leads to, and long
    enough that a busy machine renews them in time."""
    monkeypatch.setattr(db.redis.queue_worker, "LOCK_MS", 5000)
    monkeypatch.setattr(db.redis.queue_worker, "STALLED_CHECK_MS", 500)


class Log:
    """A job that takes ``seconds`` and counts how often each was started and finished."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.started: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()

    async def __call__(self, job_id: str, attempt_no: int) -> None:
        self.started[job_id] += 1
        await asyncio.sleep(self.seconds)
        self.finished[job_id] += 1


def start(worker: WorkerHandle) -> asyncio.Task[None]:
    return asyncio.create_task(worker.run())


async def test_it_hands_over_the_job_and_the_attempt(queue: JobQueue, redis_url: str) -> None:
    seen: list[tuple[str, int]] = []

    async def process(job_id: str, attempt_no: int) -> None:
        seen.append((job_id, attempt_no))

    worker = make_worker(redis_url, "image", process)
    running = start(worker)
    await queue.push("job_a", 3, 0)
    await until(lambda: bool(seen))
    assert seen == [("job_a", 3)]
    assert not running.done()
    await worker.drain()
    await running


@pytest.mark.parametrize("idle_wait_s", [1, LONG_WAIT_S])
async def test_an_idle_worker_picks_up_at_once(
    queue: JobQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch, idle_wait_s: int
) -> None:
    """Not when its wait is over, and also after many waits."""
    monkeypatch.setattr(db.redis.queue_worker, "IDLE_WAIT_S", idle_wait_s)
    log = Log()
    worker = make_worker(redis_url, "image", log)
    running = start(worker)
    await asyncio.sleep(3)
    await queue.push("job_a", 1, 1)
    await until(lambda: log.finished.total() == 1, seconds=AT_ONCE_S)
    await worker.drain()
    await running


async def test_an_idle_worker_drains_at_once(
    queue: JobQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.redis.queue_worker, "IDLE_WAIT_S", LONG_WAIT_S)
    worker = make_worker(redis_url, "image", Log())
    running = start(worker)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await asyncio.gather(worker.drain(), worker.drain())
    await running
    assert time.monotonic() - began < AT_ONCE_S
    await queue.push("job_a", 1, 1)
    await asyncio.sleep(0.3)
    assert await queue.counts() == QueueCounts(waiting=1, active=0)


async def test_a_drain_outlasts_the_lock_and_the_job_runs_once(
    queue: JobQueue, redis_url: str, short_locks: None
) -> None:
    log = Log(seconds=LONGER_THAN_A_LOCK_S)
    leaving, staying = (make_worker(redis_url, "image", log) for _ in range(2))
    first = start(leaving)
    await queue.push("job_long", 1, 1)
    await until(lambda: leaving.active == 1)
    second = start(staying)
    await leaving.drain()
    await first
    assert log.finished == {"job_long": 1}
    await asyncio.sleep(2)  # two stalled checks of the other worker
    assert log.started == {"job_long": 1}
    assert await queue.counts() == QueueCounts(0, 0)
    await staying.drain()
    await second


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.1])
async def test_a_drain_under_load_leaves_nothing_half_taken(
    queue: JobQueue, redis_url: str, short_locks: None, moment: float
) -> None:
    log = Log(seconds=0.05)
    jobs = {f"job_{n:02}" for n in range(40)}
    leaving = make_worker(redis_url, "image", log, concurrency=4)
    first = start(leaving)
    for job_id in sorted(jobs):
        await queue.push(job_id, 1, 1)
    await asyncio.sleep(moment)
    await leaving.drain()
    await first
    assert log.started == log.finished
    counts = await queue.counts()
    assert counts == QueueCounts(waiting=40 - log.finished.total(), active=0)
    staying = make_worker(redis_url, "image", log, concurrency=4)
    second = start(staying)
    await until(lambda: set(log.finished) == jobs)
    await staying.drain()
    await second
    assert set(log.started.values()) == {1}


async def test_what_is_fetched_while_draining_is_run_once_under_its_lock(
    queue: JobQueue, redis_url: str, short_locks: None
) -> None:
    log = Log(seconds=LONGER_THAN_A_LOCK_S)
    leaving = make_worker(redis_url, "image", log, concurrency=2)
    fetch, delays = leaving._worker.backend.moveToActive, iter([0.3, 0.6])

    async def slow_fetch(*args: Any) -> Any:
        """The answers of two fetches come one after the other, both after the drain began."""
        taken = await fetch(*args)
        await asyncio.sleep(next(delays, 0))
        return taken

    leaving._worker.backend.moveToActive = slow_fetch
    for job_id in ("job_a", "job_b"):
        await queue.push(job_id, 1, 1)
    first = start(leaving)

    async def both_are_fetched() -> bool:
        return await queue.counts() == QueueCounts(waiting=0, active=2)

    await until(both_are_fetched)
    staying = make_worker(redis_url, "image", log, concurrency=2)
    second = start(staying)
    await leaving.drain()
    await first
    await until(lambda: set(log.finished) == {"job_a", "job_b"})
    await asyncio.sleep(2)  # stalled checks of the other worker
    assert log.started == {"job_a": 1, "job_b": 1}
    await staying.drain()
    await second


async def test_a_job_that_fails_is_dropped_and_the_next_one_runs(
    queue: JobQueue, redis_url: str
) -> None:
    tries: list[str] = []

    async def process(job_id: str, attempt_no: int) -> None:
        tries.append(job_id)
        if job_id == "job_bad":
            raise ValueError("no good")

    worker = make_worker(redis_url, "image", process)
    running = start(worker)
    await queue.push("job_bad", 1, 1)
    await queue.push("job_good", 1, 2)
    await until(lambda: "job_good" in tries)
    await worker.drain()
    await running
    assert tries == ["job_bad", "job_good"]
    assert await queue.counts() == QueueCounts(0, 0)
    assert await queue.contains(["job_bad-1"]) == set()


async def test_a_cancellation_from_within_a_job_does_not_end_the_worker(
    queue: JobQueue, redis_url: str
) -> None:
    done: list[str] = []

    async def process(job_id: str, attempt_no: int) -> None:
        if job_id == "job_cancelled":
            raise asyncio.CancelledError
        done.append(job_id)

    worker = make_worker(redis_url, "image", process)
    running = start(worker)
    await queue.push("job_cancelled", 1, 1)
    await queue.push("job_next", 1, 2)
    await until(lambda: done == ["job_next"])
    assert not running.done()
    await worker.drain()
    await running


async def test_what_a_killed_worker_held_is_taken_by_another(
    queue: JobQueue, redis_url: str, short_locks: None
) -> None:
    stuck = Log(seconds=3600)
    killed = make_worker(redis_url, "image", stuck)
    running = start(killed)
    await queue.push("job_a", 1, 1)
    await until(lambda: killed.active == 1)
    # As SIGKILL would: no more lock renewal, and nothing is said to Redis.
    await killed._worker.lockManager.close()
    killed._worker.forceClosing = True
    log = Log()
    other = make_worker(redis_url, "image", log)
    taking = start(other)
    await until(lambda: log.finished == {"job_a": 1})
    await other.drain()
    await taking
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_wiped_redis_does_not_stop_the_worker(
    queue: JobQueue, redis: Redis, redis_url: str
) -> None:
    log = Log(seconds=1)
    worker = make_worker(redis_url, "image", log)
    running = start(worker)
    await queue.push("job_during", 1, 1)
    await until(lambda: worker.active == 1)
    await redis.flushall()
    await until(lambda: worker.active == 0)
    await queue.push("job_after", 1, 1)
    await until(lambda: log.finished == {"job_during": 1, "job_after": 1})
    await redis.flushall()
    await queue.push("job_last", 1, 1)
    await until(lambda: log.finished["job_last"] == 1)
    assert not running.done()
    await worker.drain()
    await running


async def test_a_worker_that_never_reaches_redis_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        db.redis.queue_worker, "open_redis", lambda url, patient: db.redis.client.open_redis(url)
    )
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        worker = make_worker(url, "image", Log())
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(worker.run(), 90)
        await asyncio.wait_for(worker.drain(), 90)


async def test_a_worker_still_connecting_can_be_drained() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        worker = make_worker(url, "image", Log())
        running = start(worker)
        await asyncio.sleep(0.5)
        await asyncio.wait_for(worker.drain(), 90)
        await asyncio.wait_for(running, 90)
