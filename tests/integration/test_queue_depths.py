"""What the autoscaling policy reads: depths and paces, in a thread, through outages."""

import socket
import time
from contextlib import closing

from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from db.redis.job_timings import read_job_seconds, record_job_seconds
from db.redis.queue import JobQueue, QueueCounts, read_counts
from deployments.autoscaling.packing import NodeResources
from deployments.autoscaling.queue_reader import QueueReader
from tests.support.waiting import HANG_S, eventually

NODE = NodeResources(cpus=8, gpus=3)


async def test_depths_of_many_queues_in_one_look(redis: Redis, redis_url: str) -> None:
    queue = JobQueue(redis, "image")
    for number in range(3):
        await queue.push(f"job_{number}", 1, tag=5)
    with BlockingRedis.from_url(redis_url, decode_responses=True) as blocking:
        found = read_counts(blocking, ["cloth_swap", "image"])
    assert found == {"cloth_swap": QueueCounts(0, 0), "image": QueueCounts(3, 0)}


async def test_the_pace_is_a_moving_average_and_unknown_at_first(
    redis: Redis, redis_url: str
) -> None:
    with BlockingRedis.from_url(redis_url, decode_responses=True) as blocking:
        assert read_job_seconds(blocking, ["image"]) == {}
        await record_job_seconds(redis, "image", 10.0, sample_weight=0.2)
        await record_job_seconds(redis, "image", 20.0, sample_weight=0.2)
        found = read_job_seconds(blocking, ["image", "video3d"])
    assert found == {"image": 12.0}


async def test_the_reader_follows_the_queues(redis: Redis, redis_url: str) -> None:
    with closing(QueueReader(redis_url, ["image"], nodes=lambda: [NODE])) as reader:
        first = eventually(reader.latest)
        assert (first.counts["image"].waiting, first.nodes) == (0, [NODE])
        await JobQueue(redis, "image").push("job_1", 1, tag=5)
        pushed = time.monotonic()
        later = eventually(lambda: r if (r := reader.latest()) and r.at > pushed else None)
        assert later.counts["image"].waiting == 1


def test_nobody_who_asks_waits_for_a_redis_that_is_away() -> None:
    """It takes connections and says nothing: whoever waited for it would wait for each timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with closing(QueueReader(url, ["image"], nodes=list)) as reader:
            began = time.monotonic()
            assert [reader.latest() for _ in range(100)] == [None] * 100
            assert time.monotonic() - began < 10


def test_a_fault_in_the_thread_does_not_end_it(redis_url: str) -> None:
    faults = iter([RuntimeError("Ray is not there yet")])

    def nodes() -> list[NodeResources]:
        for fault in faults:
            raise fault
        return [NODE]

    with closing(QueueReader(redis_url, ["image"], nodes)) as reader:
        assert eventually(reader.latest).nodes == [NODE]


def test_a_reader_that_is_closed_reads_no_more(redis_url: str) -> None:
    with closing(QueueReader(redis_url, ["image"], nodes=list)) as reader:
        eventually(reader.latest)
        polling = reader._thread
    assert polling is not None
    polling.join(HANG_S)
    assert not polling.is_alive()
