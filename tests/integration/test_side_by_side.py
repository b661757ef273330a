"""Tests in several workers: what shares a stack stays together, and no worker is lost silently."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.lanes import FIRST, lane, rank

ROOT = Path(__file__).parents[2]
CONFTEST = """
import os, signal, time
from pathlib import Path
import pytest
from tests.support.lanes import SideBySide

HERE = Path(__file__).parent

def pytest_configure(config):
    plugin = SideBySide()
    config.pluginmanager.register(plugin)
    signal.signal(signal.SIGTERM, plugin.interrupt)

@pytest.fixture(scope="session")
def servers():
    (HERE / f"started-{os.getpid()}").touch()
    yield
    time.sleep(0.5)
    (HERE / f"stopped-{os.getpid()}").touch()
"""


def run_pytest(folder: Path, **files: str) -> "subprocess.Popen[str]":
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "2", folder],
        cwd=folder,
        # Each process would load a dozen plugins, and Hypothesis, for tests that pass at once.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_shares_a_stack_is_one_lane_and_other_files_are_their_own() -> None:
    together = {
        "tests/cluster/test_draining.py::test_a[x]",
        "tests/cluster/test_serve_application.py::test_b",
    }
    assert {lane(test) for test in together} == {"cluster"}
    assert lane("tests/unit/test_prices.py::test_a") != lane("tests/unit/test_web.py::test_a")
    at_work = "tests/contract/test_generators_at_work.py::test_a"
    assert lane(f"{at_work}[image-input]") == lane(f"{at_work}[image-other]")
    assert lane(f"{at_work}[image-input]") != lane(f"{at_work}[video3d-input]")
    assert rank("tests/chaos/test_x.py::test_a") < rank("tests/integration/test_x.py::test_a")
    assert rank("tests/integration/test_x.py::test_a") < rank("tests/unit/test_x.py::test_a")


def test_every_file_that_a_lane_names_is_there() -> None:
    for parts in FIRST.values():
        for part in parts:
            assert (ROOT / "tests" / part).exists(), part


def test_files_run_in_several_workers_and_end_in_the_usual_line(tmp_path: Path) -> None:
    content = "import os\ndef test_a(servers): print('pid', os.getpid())\n"
    run = run_pytest(tmp_path, **{f"test_{n}": content for n in range(6)})
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert said.splitlines()[-1].startswith("6 passed in ")
    started = {path.name.partition("-")[2] for path in tmp_path.glob("started-*")}
    assert len(started) == 2
    assert {path.name.partition("-")[2] for path in tmp_path.glob("stopped-*")} == started


@pytest.mark.parametrize("where", ["test", "teardown"])
def test_a_worker_that_crashes_fails_the_run(tmp_path: Path, where: str) -> None:
    """Also after its last test, when all of them have passed."""
    crash = {
        "test": "import os\ndef test_b(): os._exit(7)\n",
        "teardown": (
            "import os, pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def crash():\n    yield\n    os._exit(7)\n"
            "def test_b(crash): pass\n"
        ),
    }[where]
    run = run_pytest(tmp_path, test_a="def test_a(): pass\n", test_b=crash)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1, said
    assert "crashed" in said
    assert "failed" in said.splitlines()[-1]


def test_a_run_that_is_told_to_end_lets_its_workers_stop_their_servers(tmp_path: Path) -> None:
    content = "import time\ndef test_a(servers): time.sleep(120)\n"
    run = run_pytest(tmp_path, test_a=content, test_b=content)
    until = time.monotonic() + 180
    while len(list(tmp_path.glob("started-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, said
    assert len(list(tmp_path.glob("stopped-*"))) == 2
