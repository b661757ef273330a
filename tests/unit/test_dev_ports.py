"""Runs that start at the same moment take different ports. No Ray: it listens much later."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.embedded.state import free_port
from scripts.dev.environment import ray_environment
from scripts.dev.ports import PortClaims
from scripts.dev.service import StartFailed, choose_port


@pytest.fixture
def runs() -> Iterator[tuple[PortClaims, PortClaims]]:
    """The claims of two runs."""
    both = PortClaims(), PortClaims()
    yield both
    for claims in both:
        claims.release()


def test_the_second_run_takes_another_port_while_nobody_listens_yet(
    runs: tuple[PortClaims, PortClaims],
) -> None:
    first, second = runs
    default = free_port()
    assert choose_port(None, default, first) == default
    assert choose_port(None, default, second) != default
    with pytest.raises(StartFailed, match=f"port {default} is taken"):
        choose_port(default, default, second)
    first.release()
    assert choose_port(default, default, second) == default


def test_their_ingresses_have_ranges_of_their_own(
    runs: tuple[PortClaims, PortClaims], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "shuffle", lambda starts: None)
    first, second = (ray_environment(tmp_path, claims) for claims in runs)
    ports = {name for name in first if name.endswith("_PORT")}
    assert len(ports) >= 6
    assert not {first[name] for name in ports} & {second[name] for name in ports}
