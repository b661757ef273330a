"""At a first start maintenance creates the bucket before it looks into it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from db.errors import StoreUnavailable
from db.object_store import ObjectStore
from db.settings import StoreSettings
from deployments.maintenance import create_bucket
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deployment import TASKS, MaintenanceLoop, MaintenanceTask
from tests.support.waiting import HANG_S

# Nothing listens there, and nothing of these tests asks.
NOBODY = "127.0.0.1:9"
SETTINGS = {
    "DATABASE_URL": f"postgresql://nobody@{NOBODY}/none",
    "REDIS_URL": f"redis://{NOBODY}/0",
    "S3_ENDPOINT": f"http://{NOBODY}",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "secret",
}


class Task:
    """A task of which the first round is waited for."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def __call__(self, context: MaintenanceContext) -> int:
        self.began.set()
        return 0


@asynccontextmanager
async def running(
    monkeypatch: pytest.MonkeyPatch, create: Callable[[], Awaitable[None]]
) -> AsyncIterator[tuple[Task, Task]]:
    """Two tasks: one looks into the bucket, which ``create`` creates, and one does not."""

    async def create_it(self: ObjectStore) -> None:
        await create()

    async def never_crashed(replica: str) -> bool:
        return False

    monkeypatch.setattr(ObjectStore, "create", create_it)
    monkeypatch.setattr(create_bucket, "RETRY_S", 0.0)
    looks, does_not = Task(), Task()
    tasks = (
        MaintenanceTask("sweep_temp", looks, 3600.0, looks_into_bucket=True),
        MaintenanceTask("relay", does_not, 3600.0),
    )
    loop = MaintenanceLoop(StoreSettings(**SETTINGS), [], never_crashed, tasks)
    try:
        async with asyncio.timeout(HANG_S):
            yield looks, does_not
            loop.check()
    finally:
        await loop.close()


async def test_tasks_look_into_the_bucket_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    may_be_created, tries = asyncio.Event(), 0

    async def create() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreUnavailable("objects", "still starting")
        await may_be_created.wait()

    with capture_logs() as said:
        async with running(monkeypatch, create) as (looks, does_not):
            await does_not.began.wait()  # whatever becomes of the bucket
            assert not looks.began.is_set()
            may_be_created.set()
            await looks.began.wait()
    assert tries == 3
    assert said == []


@pytest.mark.parametrize("fault", [StoreUnavailable("objects"), LookupError("not allowed")])
async def test_without_the_bucket_they_begin_nevertheless(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def create() -> None:
        raise fault

    monkeypatch.setattr(create_bucket, "TIMEOUT_S", 0.05)
    with capture_logs() as said:
        async with running(monkeypatch, create) as (looks, _):
            await looks.began.wait()
    assert [one["event"] for one in said] == ["bucket_not_created"]


async def test_a_bucket_that_is_waited_for_ends_with_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = asyncio.Event()

    async def create() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(monkeypatch, create) as (looks, does_not):
        await does_not.began.wait()
    assert ended.is_set() and not looks.began.is_set()


def test_all_that_look_into_the_bucket_are_known() -> None:
    names = {task.name for task in TASKS if task.looks_into_bucket}
    assert names == {"sweep_leftovers", "sweep_temp", "sweep_orphans", "probe_stores"}
