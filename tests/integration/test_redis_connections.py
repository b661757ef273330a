"""A command to Redis that is canceled is canceled, at whatever moment."""

import asyncio

from redis.asyncio import Redis

TURNS = 60  # of the loop: more than connecting, asking and answering take


async def ask_forever(redis: Redis) -> None:
    while True:
        await redis.ping()


async def test_a_loop_that_asks_redis_ends_at_whichever_step_it_is_canceled(redis: Redis) -> None:
    for turns in range(TURNS):
        asking = asyncio.create_task(ask_forever(redis))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        ended, _ = await asyncio.wait([asking], timeout=30)
        assert ended, f"canceled after {turns} turns of the loop, it went on"
    assert await redis.ping(), "what was half sent is on no connection"
