"""An operation between a generator's thread and a GPU manager's, without Ray."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ray.exceptions import ActorDiedError, OutOfMemoryError

from deployments.contract import Stopped
from deployments.gpu_manager import operation_runner
from deployments.gpu_manager.call import Call
from deployments.gpu_manager.client import ManagedInference
from deployments.gpu_manager.messages import (
    DeviceLost,
    Failure,
    Message,
    Report,
    Started,
    portable_error,
)
from deployments.gpu_manager.operation_runner import OperationRunner
from deployments.worker.context import RunContext
from metrics import catalog
from models.diffusion.requests import PicturesBlocked
from models.inference.inference import (
    NOBODY,
    Inference,
    ModelLoad,
    OnEvent,
    Operation,
    Progress,
    R,
    ignore_event,
)
from models.profiles.load import Profile, load_profile
from tests.support.recorder import recording

Work = Callable[[OnEvent], Any]


class Models(Inference):
    """Runs ``work`` whatever the operation is."""

    def __init__(self, work: Work) -> None:
        self._work = work

    @property
    def profile(self) -> Profile:
        return load_profile("tiny")

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> Any:
        return self._work(on_event)

    def memory_plans(self) -> Mapping[str, str]:
        return {"unet": "resident"}


class Managers:
    """Stands for the connection: each call is answered by the next of ``works``.

    A work that is an exception is raised by Ray: after ``Started`` if it is in ``after_start``.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *works: Work | Exception, after_start: bool = False
    ) -> None:
        self._loop, self._works, self._after_start = loop, list(works), after_start
        self.threads = ThreadPoolExecutor(4)
        self.calls: list[Call] = []
        self.began = threading.Event()
        self.models: type[Models] = Models

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, operation: Any, caller: Any) -> Any:
        return Stream(self._messages(self._works.pop(0)))

    async def _messages(self, work: Work | Exception) -> AsyncIterator[Message]:
        if isinstance(work, Exception):
            if self._after_start:
                yield Started("manager-1")
            raise work
        yield Started("manager-1")
        call = Call(self.models(work), Operation())
        self.calls.append(call)
        thread = self._loop.run_in_executor(self.threads, call.run)
        self.began.set()
        try:
            async for message in call.messages():
                yield message
        finally:
            call.cancel()
            await thread


class Stream:
    def __init__(self, messages: AsyncIterator[Message]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._messages

    def cancel(self) -> None:
        pass


async def run(managers: Managers, on_event: OnEvent = ignore_event, check: Any = None) -> Any:
    inference = ManagedInference(managers, check=check or (lambda: None))  # type: ignore[arg-type]
    return await asyncio.to_thread(inference.run, Operation(), on_event)


class LoadingModels(Models):
    """Loads a model first."""

    on_load: Callable[[ModelLoad], None]

    def bind(self, caller: Any, check: Any = None, on_load: Any = None) -> Inference:
        self.on_load = on_load
        return self

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> Any:
        self.on_load(ModelLoad("unet"))
        self.on_load(ModelLoad("unet", 1.5))
        return super().run(operation, on_event)


async def test_a_load_is_told_apart_from_the_progress(tmp_path: Path) -> None:
    managers = Managers(asyncio.get_running_loop(), lambda on_event: on_event(Progress(1, 1)))
    managers.models = LoadingModels
    context = RunContext(1, tmp_path, inference=ManagedInference(managers))  # type: ignore[arg-type]
    events: list[object] = []
    await asyncio.to_thread(context.inference.run, Operation(), events.append)
    assert events == [Progress(1, 1)]
    said = [line["message"] for line in context.notes().lines]
    assert said == ["loading model unet", "model unet loaded in 1.5 s"]


async def test_progress_and_result_come_back() -> None:
    def work(on_event: OnEvent) -> str:
        for step in range(3):
            on_event(Progress(step + 1, 3))
        return "a picture"

    events: list[Any] = []
    managers = Managers(asyncio.get_running_loop(), work)
    assert await run(managers, events.append) == "a picture"
    assert events == [Progress(1, 3), Progress(2, 3), Progress(3, 3)]


async def test_an_error_of_the_models_is_raised_as_it_is() -> None:
    def work(on_event: OnEvent) -> None:
        raise PicturesBlocked({1: Image.new("RGB", (2, 2), "red")})

    with pytest.raises(PicturesBlocked) as blocked:
        await run(Managers(asyncio.get_running_loop(), work))
    assert list(blocked.value.pictures) == [1]


async def test_a_stopped_job_ends_its_operation_at_the_next_step() -> None:
    stepping, ended = threading.Event(), threading.Event()

    def work(on_event: OnEvent) -> None:
        try:
            while True:
                on_event(Progress(1, 100))
                stepping.set()
                threading.Event().wait(0.005)
        finally:
            ended.set()

    def stop() -> None:
        if stepping.is_set():
            raise Stopped

    with pytest.raises(Stopped):
        await run(Managers(asyncio.get_running_loop(), work), check=stop)
    assert await asyncio.to_thread(ended.wait, 60)


async def test_a_manager_that_ends_during_the_operation_is_named() -> None:
    gone = Managers(asyncio.get_running_loop(), ActorDiedError(), after_start=True)
    with pytest.raises(DeviceLost) as lost:
        await run(gone)
    assert lost.value.manager == "manager-1"


async def test_a_call_that_found_no_manager_waits_for_the_next() -> None:
    managers = Managers(asyncio.get_running_loop(), ActorDiedError(), lambda on_event: "drawn")
    assert await run(managers) == "drawn"


async def test_an_operation_that_is_moved_begins_anew_elsewhere() -> None:
    def endless(on_event: OnEvent) -> None:
        while True:
            on_event(Progress(1, 100))
            threading.Event().wait(0.005)

    managers = Managers(asyncio.get_running_loop(), endless, lambda on_event: "drawn elsewhere")
    running = asyncio.create_task(run(managers))
    await asyncio.to_thread(managers.began.wait, 60)
    managers.calls[0].move()
    assert await running == "drawn elsewhere"


async def test_the_plans_of_the_loaded_models_are_known_after_an_operation() -> None:
    inference = ManagedInference(
        Managers(asyncio.get_running_loop(), lambda on_event: None)  # type: ignore[arg-type]
    )
    assert inference.memory_plans() == {}
    await asyncio.to_thread(inference.run, Operation())
    assert inference.memory_plans() == {"unet": "resident"}


async def test_what_is_no_exception_ends_the_operation_too() -> None:
    def work(on_event: OnEvent) -> None:
        raise SystemExit("a panic of a library")

    with pytest.raises(RuntimeError, match="SystemExit: a panic of a library"):
        await run(Managers(asyncio.get_running_loop(), work))


async def test_an_answer_that_ends_early_is_an_error() -> None:
    class Cut(Managers):
        async def _messages(self, work: Work | Exception) -> AsyncIterator[Message]:
            yield Started("manager-1")

    with pytest.raises(RuntimeError, match="ended its answer early"):
        await run(Cut(asyncio.get_running_loop(), lambda on_event: None))


async def test_an_operation_before_which_three_managers_end_may_be_the_cause() -> None:
    deaths = [ActorDiedError() for _ in range(3)]
    with pytest.raises(DeviceLost):
        await run(Managers(asyncio.get_running_loop(), *deaths))


async def test_a_manager_that_the_memory_monitor_ended_is_lost() -> None:
    ended = Managers(asyncio.get_running_loop(), OutOfMemoryError("too much"), after_start=True)
    with pytest.raises(DeviceLost):
        await run(ended)


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    class Local(Exception):
        pass

    told = portable_error(Local("out of ink"))
    assert type(told) is RuntimeError
    assert str(told) == "Local: out of ink"


@pytest.fixture
def runner() -> Iterator[Callable[[Work], OperationRunner]]:
    """Makes the runner of a manager whose models do the given work."""
    threads = ThreadPoolExecutor(4)
    yield lambda work: OperationRunner(Models(work), threads, "manager-1")
    threads.shutdown(wait=False)


@pytest.mark.parametrize(
    ("words", "failed"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", False),
        ("CUDA error: out of memory", False),
        ("a shape of (1, 4) does not fit", False),
    ],
)
async def test_a_call_tells_whether_the_device_failed(words: str, failed: bool) -> None:
    def work(on_event: OnEvent) -> None:
        raise RuntimeError(words)

    call = Call(Models(work), Operation())
    await asyncio.to_thread(call.run)
    assert call.device_failed is failed


async def test_each_operation_is_counted_with_what_it_took(
    runner: Callable[[Work], OperationRunner],
) -> None:
    def work(on_event: OnEvent) -> None:
        threading.Event().wait(0.05)

    with recording() as shown:
        async for _ in runner(work).run(Operation(), NOBODY):
            pass
        await asyncio.sleep(0)
    labels = {"replica": "manager-1", "operation": "Operation"}
    (seconds,) = shown.seconds(catalog.OPERATION_SECONDS, **labels)
    assert 0.05 <= seconds < 30


async def begun(runner: OperationRunner) -> AsyncGenerator[Message, None]:
    """An operation that has reported something, or failed."""
    stream = runner.run(Operation(), NOBODY)
    async for message in stream:
        if isinstance(message, Report | Failure):
            break
    return stream


async def test_a_manager_whose_device_failed_is_replaced(
    runner: Callable[[Work], OperationRunner],
) -> None:
    def broken(on_event: OnEvent) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    failed = runner(broken)
    await (await begun(failed)).aclose()
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="device failed"):
        failed.check_health()


async def test_a_manager_whose_operation_hangs_is_replaced(
    runner: Callable[[Work], OperationRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(on_event: OnEvent) -> None:
        on_event(Progress(1, 2))
        released.wait(60)

    hanging = runner(hang)
    closing = asyncio.ensure_future((await begun(hanging)).aclose())
    await asyncio.wait([closing], timeout=0.2)
    hanging.check_health()
    monkeypatch.setattr(operation_runner, "STUCK_S", -1.0)
    with pytest.raises(RuntimeError, match="does not end"):
        hanging.check_health()
    released.set()
    await closing
    hanging.check_health()
