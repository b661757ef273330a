"""What the tests of several files share: an API with people in it, and a replica without its Ray.

A file that needs another kind has a fixture of the same name; for the API it is enough to say
which generators (``api_generators``) and which settings (``api_settings``).
"""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from db.object_store import ObjectStore
from db.redis.queue import JobQueue
from db.session import Sessions
from db.settings import StoreSettings
from deployments.maintenance.context import MaintenanceContext
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator
from tests.support import backed_up
from tests.support.admin_command import Admin, admin
from tests.support.http import Person, World, running, settings_for
from tests.support.jobs import new_user
from tests.support.maintenance import kept
from tests.support.payments import Shop, shop
from tests.support.receiver import Receiver, receiver
from tests.support.recorder import Recorder, recording
from tests.support.reused_api import reused_api
from tests.support.scribe import SPEC, Scribe
from tests.support.stores import opened

# How long the API waits for Redis before it goes on without, in seconds.
REDIS_TIMEOUTS = (
    "deployments.messaging.cancellation.TIMEOUT_S",
    "serve_app.admin.queues.TIMEOUT_S",
    "serve_app.auth.failed_attempts.TIMEOUT_S",
    "serve_app.generators.routes.TIMEOUT_S",
    "serve_app.http.rate_limit.TIMEOUT_S",
    "serve_app.jobs.job_watch.REDIS_TIMEOUT_S",
    "serve_app.jobs.submit.PUSH_TIMEOUT_S",
    "serve_app.jobs.view.TIMEOUT_S",
)


@pytest.fixture(autouse=True)
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that answer late, because the machine is busy, are not away."""
    for name in ("CONNECT_TIMEOUT_S", "POOL_TIMEOUT_S", "LOCK_TIMEOUT_S"):
        monkeypatch.setattr(f"db.session.{name}", 30)
    for name in (
        *REDIS_TIMEOUTS,
        "serve_app.health.routes.TIMEOUT_S",
        "serve_app.health.status_page.TIMEOUT_S",
        "deployments.worker.metadata.DOCUMENT_TIMEOUT_S",
    ):
        monkeypatch.setattr(name, 10.0)


@pytest.fixture
def quick_to_give_up(patient_clients: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is away is not waited for."""
    for name in REDIS_TIMEOUTS:
        monkeypatch.setattr(name, 0.5)


@pytest.fixture(scope="session")
def migrated_data() -> Iterator[Path]:
    """What the services that are backed up start from."""
    with backed_up.migrated_data() as data:
        yield data


# The API, and people in it


@pytest.fixture
def api_generators() -> list[str]:
    """The modules of the generators that the API serves."""
    return ["tests.support.scribe"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    """Settings of the API that differ from the usual ones, by environment name."""
    return {}


@pytest.fixture
async def api(
    store_settings: StoreSettings,
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    api_generators: list[str],
    api_settings: dict[str, Any],
) -> AsyncIterator[World]:
    settings = settings_for(store_settings, **api_settings)
    with reused_api(api_generators, settings) as app:
        async with running(app) as client:
            yield World(app, client)


@pytest.fixture
async def ada(api: World) -> Person:
    return await api.guest()


@pytest.fixture
async def root(api: World) -> Person:
    """An administrator."""
    return await api.guest("admin")


@pytest.fixture
async def open_shop(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> AsyncIterator[Shop]:
    async with shop(store_settings) as found:
        yield found


@pytest.fixture
def atelier_admin(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    store_environment: dict[str, str],
    database_url: str,
    tmp_path: Path,
    api_generators: list[str],
) -> Admin:
    """The operator's command."""
    return admin(monkeypatch, capsys, store_environment, tmp_path, api_generators)


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    """Where webhooks are sent."""
    with receiver() as found:
        yield found


@pytest.fixture
def shown() -> Iterator[Recorder]:
    """What is recorded of metrics."""
    with recording() as recorder:
        yield recorder


# The Ray side, without Ray


@pytest.fixture
async def user_id(sessions: Sessions) -> str:
    return await new_user(sessions)


@pytest.fixture
async def stores(
    sessions: Sessions, redis: Redis, objects: ObjectStore, store_settings: StoreSettings
) -> AsyncIterator[Stores]:
    async with opened(store_settings) as stores:
        yield stores


@pytest.fixture
async def maintenance(stores: Stores, redis_url: str) -> AsyncIterator[MaintenanceContext]:
    """What the keeper's tasks work on."""
    async with kept(stores, redis_url) as maintenance:
        yield maintenance


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[LoadedGenerator]:
    """What a replica has to run the jobs of ``SPEC``."""
    with ThreadPoolExecutor(8) as threads:
        yield LoadedGenerator(SPEC, Scribe(), threads, tmp_path, private_addresses=True)


@pytest.fixture
async def queue(redis: Redis, redis_url: str) -> AsyncIterator[JobQueue]:
    queue = JobQueue.open(redis_url, "image")
    yield queue
    await queue.close()
