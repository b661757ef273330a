"""The real servers every test shares, and clean stores for each test.

``servers`` starts Postgres, Valkey and SeaweedFS once, in a folder that goes away afterwards.
A test takes what it needs: ``sessions``, ``redis``, ``objects``; each comes empty.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from db.embedded.supervisor import EmbeddedServers
from db.migrate import upgrade
from db.object_store import ObjectStore
from db.redis.client import open_redis
from db.session import Sessions, make_sessions, open_engine
from db.settings import StoreSettings
from tests.support.lanes import SideBySide, home_prefix
from tests.support.stores import empty, make_postgres_quick


def pytest_configure(config: pytest.Config) -> None:
    side_by_side = SideBySide()
    config.pluginmanager.register(side_by_side)
    # A plain SIGTERM would skip the fixtures' ends and leave the servers running.
    signal.signal(signal.SIGTERM, side_by_side.interrupt)
    # A neural voice takes seconds for what eSpeak NG says at once; tests of it ask for it.
    os.environ["ATELIER_SPEECH"] = "espeak-ng"
    # Where bytecode is not to be kept, each worker, and each of the hundreds of processes that
    # tests start, would compile the whole project anew.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[EmbeddedServers]:
    # Short, because of the length limit of unix sockets; open to traversal, because Postgres runs
    # as another user where the tests run as root.
    home = Path(tempfile.mkdtemp(prefix=home_prefix(pytestconfig), dir="/tmp"))
    home.chmod(0o711)
    embedded = EmbeddedServers(home)
    try:
        embedded.start()
        make_postgres_quick(embedded.environment()["DATABASE_URL"])
        yield embedded
    finally:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def store_environment(servers: EmbeddedServers) -> dict[str, str]:
    """The environment variables that lead a process to the test's stores."""
    return servers.environment()


@pytest.fixture(scope="session")
def store_settings(store_environment: dict[str, str]) -> StoreSettings:
    return StoreSettings(**{"MONGODB_URL": None, **store_environment})


@pytest.fixture(scope="session")
def redis_url(store_settings: StoreSettings) -> str:
    return store_settings.redis_url.get_secret_value()


@pytest.fixture(scope="session")
def database_url(store_settings: StoreSettings) -> str:
    """A migrated database."""
    url = store_settings.database_url.get_secret_value()
    upgrade(url)
    return url


@pytest.fixture(scope="session")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    with pytest.MonkeyPatch.context() as patch:
        # As ``patient_clients`` of the integration tests does for the engines of single tests.
        patch.setattr("db.session.CONNECT_TIMEOUT_S", 30)
        patch.setattr("db.session.POOL_TIMEOUT_S", 30)
        patch.setattr("db.session.LOCK_TIMEOUT_S", 30)
        engine = open_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine) -> Sessions:
    async with engine.begin() as connection:
        await empty(connection)
    return make_sessions(engine)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
async def bucket(store_settings: StoreSettings) -> ObjectStore:
    store = ObjectStore.open(store_settings)
    await store.prepare()
    return store


@pytest.fixture
async def objects(bucket: ObjectStore) -> AsyncIterator[ObjectStore]:
    yield bucket
    await bucket.delete([found.key for found in await bucket.list("")])
