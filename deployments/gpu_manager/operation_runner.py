"""The operations of one device at work. No Ray in here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Any

import structlog

from deployments.gpu_manager.admission import Admission
from deployments.gpu_manager.call import Call
from deployments.gpu_manager.device_share import DeviceShare, Share
from deployments.gpu_manager.manager_choice import ManagerLoad
from deployments.gpu_manager.messages import Message, Moved, Started
from metrics import catalog
from models.inference.inference import Caller, Inference, Operation

STUCK_S = 600.0  # longer than the largest model takes to load

log = structlog.get_logger(__name__)


class OperationRunner:
    """Runs operations with ``inference`` in ``threads``, side by side, and suspects alone.

    For one event loop. ``name`` is that of the manager, in messages and metrics.
    """

    def __init__(self, inference: Inference, threads: Executor, name: str) -> None:
        self._inference, self._threads, self._name = inference, threads, name
        self._admission, self._share = Admission(), DeviceShare()
        self._calls: set[Call] = set()
        self._ending: dict[Call, float] = {}  # nobody waits for them: since when
        self._device_failed = False

    async def run(self, operation: Operation[Any], caller: Caller) -> AsyncGenerator[Message, None]:
        """Run ``operation``; yields ``Started``, reports, and how it ended."""
        try:
            async with (
                self._admission.admit(alone=caller.suspect),
                aclosing(self._run(operation, caller)) as messages,
            ):
                async for message in messages:
                    yield message
        except TimeoutError:
            yield Moved()  # a suspect found no quiet moment; it asks again

    async def _run(
        self, operation: Operation[Any], caller: Caller
    ) -> AsyncGenerator[Message, None]:
        yield Started(self._name)
        loop = asyncio.get_running_loop()
        call = Call(self._inference, operation, caller)
        began, share = loop.time(), self._share.begin(operation.capability)
        thread = loop.run_in_executor(self._threads, call.run)
        self._calls.add(call)
        try:
            async for message in call.messages():
                yield message
        finally:
            self._calls.discard(call)
            call.cancel()
            self._ending[call] = loop.time()
            thread.add_done_callback(lambda _: self._end(call, share, began))
            await asyncio.shield(thread)  # a suspect is alone until its thread has ended

    def _end(self, call: Call, share: Share, began: float) -> None:
        """The thread of ``call`` has ended, whether somebody waited for it or not."""
        seconds = asyncio.get_running_loop().time() - began
        catalog.OPERATION_SECONDS.observe(seconds, replica=self._name, operation=call.name)
        del self._ending[call]
        self._share.end(share, completed=call.succeeded)
        self._device_failed = self._device_failed or call.device_failed

    def load(self) -> ManagerLoad:
        """What those who choose a manager are to know of this one."""
        loaded = self._inference.loaded_models()
        return ManagerLoad(
            loaded=loaded.capabilities,
            fitting=loaded.fitting,
            load_seconds={str(key): took for key, took in loaded.load_seconds.items()},
            operation_seconds=dict(self._share.seconds),
            work=self._share.at_work(),
        )

    def check_health(self) -> None:
        """Raise ``RuntimeError`` if a new process is to take this one's place."""
        if self._device_failed:
            raise RuntimeError("the device failed, and computes nothing until a new process has it")
        now = asyncio.get_running_loop().time()
        if any(now - since > STUCK_S for since in self._ending.values()):
            raise RuntimeError("an operation that nobody waits for does not end")

    def move_all(self) -> None:
        """Stop what still runs, so that other managers run it."""
        log.warning("operations_moved", count=len(self._calls))
        for call in self._calls:
            call.move()
