"""The application on a real Ray: started once for the tests that can share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.application import Application
from tests.support.otlp import Collector, collector
from tests.support.rays import Rays

RAYS = pytest.StashKey[Rays]()


@pytest.fixture(scope="session")
def rays(pytestconfig: pytest.Config, store_environment: dict[str, str]) -> Iterator[Rays]:
    found = pytestconfig.stash[RAYS] = Rays(store_environment)
    yield found
    found.stop()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Other tests of this process get neither the cores that Ray takes nor its environment."""
    here = Path(__file__).parent
    leaves = nextitem is None or not nextitem.path.is_relative_to(here)
    if leaves and RAYS in item.config.stash:
        item.config.stash[RAYS].stop()


@pytest.fixture(scope="session")
def spans() -> Iterator[Collector]:
    """Where the Ray that most tests share sends its spans."""
    with collector() as listening:
        yield listening


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, spans: Collector) -> dict[str, str]:
    """The environment of the Ray that most tests share."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "ATELIER_FETCH_PRIVATE": "1",
        "PYTHONPATH": str(tmp_path_factory.mktemp("code")),  # of a generator that comes later
        "ATELIER_TOYS": str(tmp_path_factory.mktemp("toys") / "diary"),
        "RATE_LIMIT_PER_MINUTE": "100000",
        "WELCOME_CREDITS": "100000",
        "REFUSAL_DELAY_S": "0",
    }


@pytest.fixture
def go(tmp_path: Path) -> Iterator[Path]:
    """The file for which jobs of a test wait (``after``), so that they last as long as it needs
    them. A failed test lets them end, too."""
    path = tmp_path / "go"
    yield path
    path.touch()


@pytest.fixture
def ada(application: Application) -> Iterator[httpx.Client]:
    with application.person() as client:
        yield client


@pytest.fixture
def bob(application: Application) -> Iterator[httpx.Client]:
    with application.person() as client:
        yield client
