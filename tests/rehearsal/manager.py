"""A GPU manager without Serve: a generator's client, the manager's runner, and its models."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from typing import Any
from unittest.mock import patch

from deployments.gpu_manager.client import ManagedInference
from deployments.gpu_manager.messages import Message
from deployments.gpu_manager.operation_runner import OperationRunner
from models.inference import local
from models.inference.inference import Caller, OnEvent, Operation, R, ignore_event
from models.inference.local import LocalInference
from models.profiles.load import Profile


class Manager:
    """Runs operations of ``inference`` as a manager does. It stands for the client's connection.

    Operations and answers are pickled on their way, as Ray does it. Every step is previewed.
    """

    def __init__(self, inference: LocalInference) -> None:
        self._inference = inference
        self._threads = ThreadPoolExecutor(16)
        self._runner = OperationRunner(inference, self._threads, "rehearsed")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._previews = patch.object(local, "PREVIEW_INTERVAL_S", 0.0)
        self._previews.start()

    def ask(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        """Run ``operation`` and return its result, as a generator would."""
        return ManagedInference(self).run(operation, on_event)  # type: ignore[arg-type]

    def close(self) -> None:
        self._previews.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._threads.shutdown()
        self._loop.close()

    # What the client calls.

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, operation: Operation[Any], caller: Caller) -> _Answer:
        return _Answer(self._messages(pickle.dumps((operation, caller))))

    def profile(self, check: Callable[[], object]) -> Profile:
        return self._inference.profile

    async def _messages(self, asked: bytes) -> AsyncIterator[Message]:
        async with aclosing(self._runner.run(*pickle.loads(asked))) as messages:
            async for message in messages:
                pickle.loads(pickle.dumps(message))
                yield message  # as it was: an error keeps the lines that it came from


class _Answer:
    def __init__(self, messages: AsyncIterator[Message]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._messages

    def cancel(self) -> None:
        """The caller's task has closed the messages by then."""
