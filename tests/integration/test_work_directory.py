"""Every process keeps what it writes for a while on the disk that is meant for it."""

import tempfile
from pathlib import Path

import pytest
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from deployments.gpu_manager import deployment, weights
from deployments.settings import SharedSettings
from deployments.worker.host import GeneratorHost
from tests.support.http import world
from tests.support.scribe import SPEC

TIMEOUT_S = 90.0


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # and what it was comes back
    return tmp_path / "work"


async def test_uploads_of_an_ingress(
    work: Path, store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    async with world(store_settings, ATELIER_WORK_DIR=work):
        with tempfile.NamedTemporaryFile() as spooled:
            assert Path(spooled.name).parent == work


async def test_jobs_of_a_replica(work: Path, store_settings: StoreSettings) -> None:
    host = GeneratorHost(SPEC, store_settings)
    await host.start(SharedSettings(work_dir=work), "the first")
    await host.drain(TIMEOUT_S)
    assert tempfile.gettempdir() == str(work)


def test_weights_that_a_gpu_manager_offloads(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object) -> None:
        raise InterruptedError("far enough")

    monkeypatch.setenv("ATELIER_WORK_DIR", str(work))
    monkeypatch.setattr(weights, "fetch_weights", stop)
    with pytest.raises(InterruptedError):
        deployment._load("tiny", lambda _: False)
    assert tempfile.gettempdir() == str(work)
