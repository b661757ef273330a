"""How a local Ray is started: without Ray itself, whose start takes long."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import parameter, ray_constants
from structlog.testing import capture_logs

from scripts.dev import cluster
from scripts.dev.environment import ray_environment
from scripts.dev.ports import PortClaims


class Starts:
    """Stands in for ``ray.init``, of which the first ``failing`` calls end as a late raylet's."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.given: list[parameter.RayParams] = []

    def __call__(self, **options: Any) -> SimpleNamespace:
        folder = Path(options["_temp_dir"])
        assert list(folder.iterdir()) == [], "nothing of an earlier start is there"
        (folder / "session").touch()
        self.given.append(parameter.RayParams(metrics_export_port=None))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if len(self.given) <= self.failing:
            raise Exception("The current node timed out during startup.")
        return SimpleNamespace(dashboard_url="127.0.0.1:8265")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    found = Starts(failing=1)
    monkeypatch.setattr(ray, "init", found)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token")
    return found


def test_a_start_that_fails_is_tried_once_more(starts: Starts, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with capture_logs() as said:
        assert cluster.start_ray(tmp_path / "ray", tmp_path) == "http://127.0.0.1:8265"
    assert [line["event"] for line in said] == ["ray_starts_again"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_failure_is_told(starts: Starts, tmp_path: Path) -> None:
    starts.failing = 2
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Exception, match="timed out during startup"):
        cluster.start_ray(tmp_path / "ray", tmp_path)
    assert len(starts.given) == 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_each_agent_has_a_port_before_ray_starts(starts: Starts, tmp_path: Path) -> None:
    cluster.start_ray(tmp_path / "ray", tmp_path)
    for given in starts.given:
        ports = [
            given.metrics_agent_port,
            given.metrics_export_port,
            given.dashboard_agent_listen_port,
            given.runtime_env_agent_port,
        ]
        assert all(ports) and len(set(ports)) == 4
        assert given.include_log_monitor is False, "nobody reads what it sends"
    assert parameter.RayParams(metrics_export_port=None).metrics_export_port is None


def test_ray_has_the_deadlines_that_are_made_longer(tmp_path: Path) -> None:
    raylet = (Path(ray.__file__).parent / "core/src/ray/raylet/raylet").read_bytes()
    claims = PortClaims()
    given = ray_environment(tmp_path, claims)
    claims.release()
    for name in ("RAY_agent_register_timeout_ms", "RAY_worker_register_timeout_seconds"):
        assert name in given and name.encode() in raylet
    assert hasattr(ray_constants, "RAY_DASHBOARD_STARTUP_TIMEOUT_S")
    assert "RAY_DASHBOARD_STARTUP_TIMEOUT_S" in given
