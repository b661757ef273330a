"""Answer calls that come at the same time by one query.

A round trip costs a process more than what it asks for. So a call waits until the queries under way
have been answered, and goes with all others that came meanwhile; alone, it goes at once. A query
begins after each of its calls did, so nobody reads what is older than the question.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST_AT_A_TIME = 100


class Batched(Generic[Question, Answer]):
    """Calls ``ask`` with many questions at a time; it returns the answers in their order.

    ``at_a_time`` queries may be under way, so that one that hangs does not hold up all.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        at_a_time: int = 2,
    ) -> None:
        self._ask, self._at_a_time = ask, at_a_time
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Question) -> Answer:
        """Return the answer; raises what ``ask`` raised for this one and those beside it."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if len(self._running) < self._at_a_time:
            # In a context of its own: a query of many requests belongs to none of them.
            task = asyncio.get_running_loop().create_task(self._answer_all(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _answer_all(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), MOST_AT_A_TIME)
            asked = [self._waiting.popleft() for _ in range(count)]
            try:
                answers = await self._ask([question for question, _ in asked])
            except asyncio.CancelledError:
                for _, future in asked:
                    future.cancel()
                raise
            except Exception as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(asked, answers, strict=True):
                    if not future.done():  # who asked may have left
                        future.set_result(answer)
