"""Events that a reader can resume, a cancel flag, and the mark that tells of a wipe."""

import pytest
from redis.asyncio import Redis

from db.errors import StoreUnavailable
from db.redis import client as store
from db.redis.client import (
    WATCHED_TTL_S,
    Flags,
    get_flags,
    get_watched,
    mark_watched,
    publish_event,
    read_epoch,
    read_events,
    set_cancel_flag,
    write_epoch,
)
from db.redis.queue import JobQueue


async def test_events_come_back_in_order_with_growing_ids(redis: Redis) -> None:
    events = [{"type": "progress", "fraction": n / 10, "stage": "läuft"} for n in range(10)]
    for event in events:
        await publish_event(redis, "job_a", event)
    read = await read_events(redis, "job_a", "0")
    assert [event for _, event in read] == events
    numbers = [tuple(map(int, stream_id.split("-"))) for stream_id, _ in read]
    assert numbers == sorted(set(numbers))


async def test_reading_goes_on_after_the_last_id_seen(redis: Redis) -> None:
    for n in range(5):
        await publish_event(redis, "job_a", {"n": n})
    seen = await read_events(redis, "job_a", "0")
    rest = await read_events(redis, "job_a", seen[2][0])
    assert [event["n"] for _, event in rest] == [3, 4]
    assert await read_events(redis, "job_a", seen[-1][0]) == []


@pytest.mark.parametrize("bad", ["", "$", "abc", "1-2-3", "-1", "9" * 40, "0; FLUSHALL", ">"])
async def test_what_is_no_id_reads_from_the_start(redis: Redis, bad: str) -> None:
    await publish_event(redis, "job_a", {"n": 0})
    assert [event for _, event in await read_events(redis, "job_a", bad)] == [{"n": 0}]


async def test_a_stream_is_bounded_and_forgets_itself(redis: Redis) -> None:
    for n in range(1000):
        await publish_event(redis, "job_a", {"n": n})
    assert await redis.xlen(store.events_key("job_a")) < 400
    assert 0 < await redis.ttl(store.events_key("job_a")) <= 3600


async def test_the_cancel_flag_names_only_the_jobs_asked_to_stop(redis: Redis) -> None:
    await set_cancel_flag(redis, "job_a")
    await set_cancel_flag(redis, "job_a")
    assert await get_flags(redis, ["job_a", "job_b"]) == [Flags(False, True), Flags(False, False)]
    assert 0 < await redis.ttl(store.cancel_key("job_a")) <= 24 * 3600


async def test_the_mark_of_a_watched_job_ends_by_itself(redis: Redis) -> None:
    await mark_watched(redis, "job_a")
    assert await get_watched(redis, ["job_a", "job_b"]) == {"job_a"}
    assert await get_watched(redis, []) == set()
    assert await get_flags(redis, ["job_b", "job_a"]) == [Flags(False, False), Flags(True, False)]
    assert 0 < await redis.ttl(store.watched_key("job_a")) <= WATCHED_TTL_S


async def test_a_wipe_loses_the_epoch(redis: Redis) -> None:
    assert await read_epoch(redis) is None
    first = await write_epoch(redis)
    assert await read_epoch(redis) == first
    await redis.flushall()
    assert await read_epoch(redis) is None
    assert await write_epoch(redis) != first


@pytest.mark.parametrize(
    ("setting", "refusing", "normal"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")],
)
async def test_a_redis_that_takes_no_writes_is_one_that_is_away(
    redis: Redis, setting: str, refusing: str, normal: str
) -> None:
    queue = JobQueue(redis, "refused")
    await redis.config_set(setting, refusing)
    try:
        with pytest.raises(StoreUnavailable):
            await publish_event(redis, "job_a", {"n": 0})
        with pytest.raises(StoreUnavailable):
            await set_cancel_flag(redis, "job_a")
        with pytest.raises(StoreUnavailable):
            await queue.push("job_a", 1, 1)
    finally:
        await redis.config_set(setting, normal)
    await queue.push("job_a", 1, 1)
    assert (await queue.counts()).waiting == 1
