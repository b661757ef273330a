"""One operation at work in a thread, and the messages it sends. No Ray in here."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import structlog

from deployments.gpu_manager.messages import Failure, Message, Moved, Report, Result, portable_error
from deployments.tracing import record, span
from models.inference.inference import (
    NOBODY,
    Caller,
    DrawingProgress,
    Event,
    Inference,
    ModelLoad,
    Operation,
)

# A message costs both processes about a millisecond, so steps are reported together.
REPORT_INTERVAL_S = 0.5
# Without progress an empty report tells that the manager is alive.
KEEPALIVE_S = 2.0

log = structlog.get_logger(__name__)


class CallCanceled(Exception):
    """Nobody waits for the operation any more; it ends at its next step."""


class _Steps:
    """When the denoising steps of an operation began and ended."""

    def __init__(self) -> None:
        self._began = time.time()
        self._ended: float | None = None
        self._count = 0

    def take(self, event: Event) -> None:
        """A step is told when it is done; before the first one the model may be loaded."""
        if isinstance(event, DrawingProgress):
            if self._ended is None:
                self._began = time.time()
            self._ended = time.time()
            self._count += 1

    def record(self) -> None:
        if self._ended is not None:
            record("steps", self._began, self._ended, attributes={"atelier.steps": self._count})


class Call:
    """Runs ``operation`` with ``inference``, and hands its progress to the event loop."""

    def __init__(
        self,
        inference: Inference,
        operation: Operation[object],
        caller: Caller = NOBODY,
    ) -> None:
        self._inference = inference.bind(caller, on_load=self._add)
        self._operation, self._traceparent = operation, caller.traceparent
        self._steps = _Steps()
        self._loop = asyncio.get_running_loop()
        self._canceled = threading.Event()
        self._lock = threading.Lock()
        self._events: list[Event | ModelLoad] = []
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self.device_failed = False  # the device can compute nothing any more
        self._outcome: Result | Failure | Moved | None = None

    def run(self) -> None:
        """Run the operation. Called in a thread; never raises an error of the operation."""
        if self._canceled.is_set():
            return
        outcome: Result | Failure
        try:
            with span(self.name, self._traceparent):
                value = self._inference.run(self._operation, self._on_event)
                self._steps.record()
            outcome = Result(value, memory_plans=dict(self._inference.memory_plans()))
        except CallCanceled:
            return
        except BaseException as error:  # also what is no Exception, for somebody waits
            log.info("operation_failed", operation=self.name, exc_info=True)
            self.device_failed = is_device_failure(error)
            outcome = Failure(portable_error(error))
        self._loop.call_soon_threadsafe(self._end, outcome)

    def cancel(self) -> None:
        """End the operation at its next step."""
        self._canceled.set()

    def move(self) -> None:
        """Stop the operation, so that another manager runs it. Called in the event loop."""
        self._canceled.set()
        self._end(Moved())

    @property
    def name(self) -> str:
        """The class of the operation, such as ``Draw``."""
        return type(self._operation).__name__

    async def messages(self) -> AsyncIterator[Message]:
        """Yield reports, and at the end how the operation ended."""
        while True:
            if not self._ended.is_set():
                await _wait(self._ended, REPORT_INTERVAL_S)
            if not self._ended.is_set() and not self._events:
                await _wait(self._changed, KEEPALIVE_S)
            events = self._take_events()
            match self._outcome:
                case None:
                    yield Report(events)
                case Result(value, _, memory_plans):
                    yield Result(value, events, memory_plans)
                    return
                case outcome:
                    yield outcome
                    return

    @property
    def succeeded(self) -> bool:
        return isinstance(self._outcome, Result)

    def _on_event(self, event: Event) -> None:
        if self._canceled.is_set():
            raise CallCanceled
        self._steps.take(event)
        self._add(event)

    def _add(self, event: Event | ModelLoad) -> None:
        with self._lock:
            self._events.append(event)
            first = len(self._events) == 1
        if first:
            self._loop.call_soon_threadsafe(self._changed.set)

    def _take_events(self) -> tuple[Event | ModelLoad, ...]:
        with self._lock:
            taken, self._events = tuple(self._events), []
        self._changed.clear()
        return taken

    def _end(self, outcome: Result | Failure | Moved) -> None:
        self._outcome = self._outcome or outcome
        self._ended.set()
        self._changed.set()


def is_device_failure(error: BaseException) -> bool:
    """Whether ``error`` leaves a CUDA context that fails every later operation.

    PyTorch names such errors only by their text: an illegal memory access, a device-side assert.
    """
    words = str(error)
    return "CUDA error" in words and "out of memory" not in words


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
