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
PATIENCE_S = 5.0  # as long as a connection of the pool is waited for


class Batched(Generic[Question, Answer]):
    """Calls ``ask`` with many questions at a time; it returns the answers in their order.

    ``at_a_time`` queries may be under way. One that is not answered within ``patience_s`` is
    abandoned, so that a connection that hangs holds up nobody for longer.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        at_a_time: int = 2,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ask, self._at_a_time, self._patience_s = ask, at_a_time, patience_s
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[Sequence[Answer]]] = set()

    async def __call__(self, question: Question) -> Answer:
        """Return the answer.

        Raises:
            TimeoutError: there is none within ``patience_s``, or the query was broken off.
            Exception: what ``ask`` raised for this question and those beside it.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer))
        if len(self._running) < self._at_a_time:
            # In a context of its own: a query of many requests belongs to none of them.
            task = loop.create_task(self._answer_all(), context=Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        async with asyncio.timeout(self._patience_s):
            return await answer

    async def _answer_all(self) -> None:
        try:
            while asked := self._next():
                await self._answer(asked)
        finally:
            # In the step of the last look: the callback comes later, and a call between the two
            # would wait for a task that looks no more.
            if (task := asyncio.current_task()) is not None:
                self._running.discard(task)

    def _next(self) -> list[tuple[Question, asyncio.Future[Answer]]]:
        """Take the next questions; who left is not asked for."""
        asked: list[tuple[Question, asyncio.Future[Answer]]] = []
        while self._waiting and len(asked) < MOST_AT_A_TIME:
            question, answer = self._waiting.popleft()
            if not answer.done():
                asked.append((question, answer))
        return asked

    async def _answer(self, asked: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer] = ()
        failure: Exception | None = None
        try:
            answers = await self._ask_patiently([question for question, _ in asked])
            if len(answers) != len(asked):
                failure = RuntimeError(f"{len(answers)} answers to {len(asked)} questions")
        except Exception as error:
            failure = error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # the process ends
                for _, future in asked:
                    future.cancel()
                raise
            # A driver's time limits leave one behind now and then, and it would look to each caller
            # as if its own request were canceled.
            failure = TimeoutError("the query was broken off")
        for number, (_, future) in enumerate(asked):
            if future.done():  # who asked has left
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(answers[number])

    async def _ask_patiently(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Ask, and abandon the query when it takes too long: to cancel it, psycopg needs ten
        seconds if the server is silent."""
        task = asyncio.ensure_future(_awaited(self._ask, questions))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait({task}, timeout=self._patience_s)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()


async def _awaited(
    ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]], questions: Sequence[Question]
) -> Sequence[Answer]:
    return await ask(questions)
