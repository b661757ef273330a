"""``ManagedInference``: a generator's way to the models of a GPU manager."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, wait
from typing import Any, cast

import structlog
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.gpu_manager.messages import (
    DeviceLost,
    Failure,
    Message,
    Moved,
    Report,
    Result,
    Started,
)
from models.inference.inference import (
    NOBODY,
    Caller,
    Inference,
    ModelLoad,
    OnEvent,
    OnModelLoad,
    Operation,
    R,
    ignore_event,
    ignore_load,
)
from models.profiles.load import Profile, load_profile

CHECK_INTERVAL_S = 0.5
RETRY_DELAY_S = 0.5
# What a call raises whose manager has ended, or that finds none.
_MANAGER_GONE = (
    RayActorError,
    OutOfMemoryError,  # Ray's memory monitor ended the process
    NodeDiedError,
    LocalRayletDiedError,
    WorkerCrashedError,
    ObjectLostError,
    DeploymentUnavailableError,
)
# A manager that ended so often before it said that it began: the operation may be the cause.
MAX_EARLY_DEATHS = 3

log = structlog.get_logger(__name__)


class Connection:
    """A replica's connection to the GPU managers: their deployment, and the loop that calls it."""

    def __init__(self, handle: DeploymentHandle[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._handle, self._loop = handle, loop
        self._lock = threading.Lock()
        self._profile: Profile | None = None

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Run ``work`` on the replica's loop. Called from other threads."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, operation: Operation[Any], caller: Caller) -> Any:
        """Call a manager; returns the stream of its messages."""
        return self._handle.options(stream=True).run.remote(operation, caller)

    def profile(self, check: Callable[[], object]) -> Profile:
        """Return the managers' profile; while none is there ``check`` is called, and may raise."""
        while self._profile is None:
            check()
            if not self._lock.acquire(timeout=CHECK_INTERVAL_S):
                continue  # another job of the replica asks
            try:
                if self._profile is None:
                    self._profile = self._wait_for_profile(check)
            finally:
                self._lock.release()
        return self._profile

    @property
    def known_profile(self) -> Profile | None:
        """The managers' profile, if a job of this replica has asked for it."""
        return self._profile

    def _wait_for_profile(self, check: Callable[[], object]) -> Profile | None:
        """Ask once; ``None`` if the manager that was asked has ended."""
        asking = self.submit(self._ask_profile())
        try:
            while not asking.done():
                check()
                wait([asking], timeout=CHECK_INTERVAL_S)
            return load_profile(asking.result())
        except _MANAGER_GONE:
            time.sleep(RETRY_DELAY_S)
            return None
        finally:
            asking.cancel()

    async def _ask_profile(self) -> str:
        name: str = await self._handle.profile.remote()
        return name


class ManagedInference(Inference):
    """The models of the GPU managers behind ``connection``.

    A call that finds no manager waits for one, and one that is moved begins anew with another. A
    call whose manager ends raises ``DeviceLost``.
    """

    def __init__(
        self,
        connection: Connection,
        caller: Caller = NOBODY,
        check: Callable[[], object] = lambda: None,
        on_load: OnModelLoad = ignore_load,
    ) -> None:
        """``check`` raises if the job is to stop."""
        self._connection, self._caller, self._check = connection, caller, check
        self._on_load = on_load
        self._memory_plans: dict[str, str] = {}

    @property
    def profile(self) -> Profile:
        """The profile that the manager has; the first call waits for a manager."""
        return self._connection.profile(self._check)

    @property
    def known_profile(self) -> Profile | None:
        return self._connection.known_profile

    def bind(
        self,
        caller: Caller,
        check: Callable[[], object] = lambda: None,
        on_load: OnModelLoad = ignore_load,
    ) -> ManagedInference:
        return ManagedInference(self._connection, caller, check, on_load)

    def memory_plans(self) -> Mapping[str, str]:
        """As the operations of this object have found them."""
        return self._memory_plans

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        calling, ended = self._connection.submit(self._call(operation, inbox)), False
        try:
            while True:
                try:
                    message = inbox.get(timeout=CHECK_INTERVAL_S)
                except queue.Empty:
                    self._check()
                    if calling.done() and inbox.empty():
                        calling.result()  # raises what ended it
                        raise RuntimeError("a GPU manager ended its answer early") from None
                    continue
                match message:
                    case Report(events):
                        self._report(events, on_event)
                    case Result(value, events, memory_plans):
                        ended = True
                        self._report(events, on_event)
                        self._memory_plans.update(memory_plans)
                        return cast("R", value)
                    case Failure(error):
                        ended = True
                        raise error
        finally:
            if not ended:
                calling.cancel()

    def _report(self, events: tuple[Any, ...], on_event: OnEvent) -> None:
        self._check()
        for event in events:
            if isinstance(event, ModelLoad):
                self._on_load(event)
            else:
                on_event(event)

    async def _call(self, operation: Operation[Any], inbox: queue.SimpleQueue[Message]) -> None:
        """Put the manager's messages into ``inbox``, and a ``Failure`` for an error on the way."""
        manager, early_deaths = "", 0
        while not manager:
            response, ended = self._connection.run(operation, self._caller), False
            try:
                async for message in response:
                    match message:
                        case Started(name):
                            manager = name
                        case Moved():
                            manager = ""
                            await asyncio.sleep(RETRY_DELAY_S)
                        case _:
                            inbox.put(message)
                ended = True
            except _MANAGER_GONE as gone:
                early_deaths += not isinstance(gone, DeploymentUnavailableError)
                if manager or early_deaths >= MAX_EARLY_DEATHS:
                    inbox.put(Failure(DeviceLost(manager or "unknown")))
                    return
                # It ended before it began: the operation is hardly the cause.
                log.info("manager_away", operation=type(operation).__name__)
                await asyncio.sleep(RETRY_DELAY_S)
            except Exception as error:
                inbox.put(Failure(error))
                return
            finally:
                if not ended:
                    response.cancel()
