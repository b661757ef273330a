"""What Prometheus itself says of the rules, their cases and the queries of panels.

Its programs are not installed everywhere; without them these tests are skipped.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from db.embedded.state import free_port
from scripts import check_dashboards, dashboards
from tests.support.rules import PROMETHEUS, RULE_FILES, RULE_TESTS

HANG_S = 120.0  # only there to end a hang

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Prometheus, is not installed"
)
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool, of Alertmanager, is not installed"
)


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    run("promtool", "check", "config", "prometheus.yml")
    run("promtool", "check", "rules", *RULE_FILES)


@needs_promtool
def test_every_case_comes_out_as_it_says() -> None:
    run("promtool", "test", "rules", *RULE_TESTS)


@needs_amtool
def test_alertmanager_takes_its_example() -> None:
    run("amtool", "check-config", "../alertmanager/alertmanager.yml")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus without targets."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    command = (
        "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, cwd=tmp_path) as process:
        try:
            deadline = time.monotonic() + HANG_S
            while not ready(url):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_prometheus_understands_every_query(
    prometheus: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_dashboards.main(["--prometheus", prometheus]) == 0
    count = len(list(dashboards.queries()))
    said = capsys.readouterr().out
    assert re.search(rf"^{count} queries: 0 wrong, {count} without data$", said, re.MULTILINE)
    assert check_dashboards.main(["--prometheus", prometheus, "--require-data"]) == 1
    monkeypatch.setattr(check_dashboards, "queries", lambda: [("d", "p", "sum(")])
    assert check_dashboards.main(["--prometheus", prometheus]) == 1
    assert "1 queries: 1 wrong" in capsys.readouterr().out
