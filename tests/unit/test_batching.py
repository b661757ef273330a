"""Calls that come at the same time share a query; each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from db.batching import Batched


class Store:
    """Doubles numbers, once it is let; keeps what it was asked together."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.begun = asyncio.Semaphore(0)
        self.let = asyncio.Event()

    async def double(self, numbers: Sequence[int]) -> Sequence[int]:
        self.asked.append(list(numbers))
        self.begun.release()
        await self.let.wait()
        if 13 in numbers:
            raise LookupError("13")
        return [2 * number for number in numbers]


async def test_what_comes_while_queries_are_under_way_goes_together() -> None:
    store = Store()
    doubled = Batched(store.double, at_a_time=1)
    first = asyncio.create_task(doubled(1))
    await store.begun.acquire()
    others = [asyncio.create_task(doubled(number)) for number in (2, 3, 3)]
    await asyncio.sleep(0)
    store.let.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 6]
    assert store.asked == [[1], [2, 3, 3]]


async def test_one_that_hangs_does_not_hold_up_the_next() -> None:
    store = Store()
    doubled = Batched(store.double, at_a_time=2)
    hanging = asyncio.create_task(doubled(1))
    await store.begun.acquire()
    next_one = asyncio.create_task(doubled(2))
    await store.begun.acquire()
    store.let.set()
    assert (await hanging, await next_one) == (2, 4)


async def test_an_error_is_raised_to_all_of_the_query_and_to_nobody_else() -> None:
    store = Store()
    store.let.set()
    doubled = Batched(store.double, at_a_time=1)
    found = await asyncio.gather(doubled(13), doubled(1), return_exceptions=True)
    assert [type(each) for each in found] == [LookupError, LookupError]
    assert await doubled(1) == 2


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    store = Store()
    doubled = Batched(store.double, at_a_time=1)
    leaving, staying = (asyncio.create_task(doubled(number)) for number in (1, 2))
    await store.begun.acquire()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    store.let.set()
    assert await staying == 4


async def test_a_call_between_the_last_answers_and_the_end_of_their_tasks_is_answered() -> None:
    """Both queries are answered in one step of the loop, and the next call comes in the next."""
    loop = asyncio.get_running_loop()
    replies: list[asyncio.Future[int]] = []
    begun = asyncio.Semaphore(0)

    async def ask(numbers: Sequence[int]) -> Sequence[int]:
        if len(replies) == 2:
            return numbers
        replies.append(loop.create_future())
        begun.release()
        return [await replies[-1]]

    same = Batched(ask, at_a_time=2, patience_s=60.0)
    for turns in range(8):
        replies.clear()
        calls = []
        for number in range(2):
            calls.append(asyncio.create_task(same(number)))
            await begun.acquire()
        for reply in replies:
            reply.set_result(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await asyncio.wait_for(same(5), 30) == 5
        await asyncio.gather(*calls)


async def test_a_query_that_hangs_is_given_up_and_who_left_is_not_asked_for() -> None:
    store = Store()
    doubled = Batched(store.double, at_a_time=1, patience_s=0.2)
    hanging = asyncio.create_task(doubled(1))
    await store.begun.acquire()
    with pytest.raises(TimeoutError):
        await doubled(2)
    with pytest.raises(TimeoutError):
        await hanging
    store.let.set()
    assert await doubled(3) == 6
    assert [2] not in store.asked or store.asked.index([2]) < store.asked.index([3])


async def test_too_few_answers_are_an_error_of_all() -> None:
    async def forgetful(numbers: Sequence[int]) -> Sequence[int]:
        return numbers[1:]

    found = await asyncio.gather(*map(Batched(forgetful), (1, 2)), return_exceptions=True)
    assert {type(each) for each in found} == {RuntimeError}


async def test_a_query_that_a_driver_breaks_off_cancels_nobody_who_asked() -> None:
    async def broken_off(numbers: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError, match="broken off"):
        await Batched(broken_off)(1)
