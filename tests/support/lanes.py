"""Which tests run side by side (``pytest -n 4``), and what ends with them.

A lane is what one worker does in one go. Tests that share something expensive, such as a Ray with
the application on it, are one lane; every other file is a lane of its own. Each worker has stores
of its own, so lanes know nothing of each other. The longest lane decides how long all takes:
``FIRST`` names those that take minutes, the longest first; the others follow, unit tests last,
because the short ones even out the end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

from db.embedded.supervisor import EmbeddedServers

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# Name of the lane, and the files or folders in it, under tests/, in the order in which they run.
# Two of them start Ray, so that no more than two run at a time: four would take turns on two cores
# until leases run out. Files with the same Ray follow each other: its start is what costs most.
FIRST = {
    "chaos and a newcomer": (
        "chaos/",
        "e2e/",
        "cluster/test_job_submission.py",
        "cluster/test_node_commands.py",
        "cluster/test_growing_cluster.py",
    ),
    "cluster": (
        "cluster/test_traces.py",
        "cluster/test_fair_turns.py",
        "cluster/test_facades_behind_haproxy.py",
        "cluster/test_serve_application.py",
        "cluster/test_attack.py",
        "cluster/test_draining.py",
        "cluster/test_new_code.py",
        "cluster/test_autoscaling.py",
        "cluster/test_two_nodes.py",
        "cluster/",
    ),
    "books and limits": (
        "integration/test_ledger_properties.py",
        "integration/test_running_limits_at_work.py",
    ),
}
FOLDERS = ("contract", "generators", "integration", "pipelines", "gpu", "unit")
# A file whose every parameter is work of its own, by the first word in the brackets.
_SPLIT = re.compile(r"tests/contract/test_generators_at_work\.py::.*\[(\w+)")
# How long a worker that is told to stop may take to stop its servers.
STOP_S = 90.0


def lane(nodeid: str) -> str:
    """The lane of a test, from its id as pytest prints it."""
    path = nodeid.partition("::")[0].removeprefix("tests/")
    for name, parts in FIRST.items():
        if path.startswith(parts):
            return name
    split = _SPLIT.match(nodeid)
    return f"{path} {split[1]}" if split else path


def rank(nodeid: str) -> tuple[int, int]:
    """Lower comes earlier: the place of the lane, and of the file in it."""
    names = [*FIRST, *FOLDERS]
    first = lane(nodeid)
    name = first if first in FIRST else first.partition("/")[0]
    within = [nodeid.startswith(f"tests/{part}") for part in FIRST.get(first, ())]
    return names.index(name) if name in names else len(names), [*within, True].index(True)


class Lanes(LoadScopeScheduling):
    """Hands lanes to workers in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)


class SideBySide:
    """The plugin: it orders, distributes, and sees to it that nothing outlives its worker."""

    def __init__(self) -> None:
        self._workers: list[WorkerController] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """A worker hears SIGINT, also where the run was started in a shell's background."""
        if hasattr(session.config, "workerinput") and current_thread() is main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if hasattr(config, "workerinput"):
            items.sort(key=lambda item: rank(item.nodeid))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Lanes:
        config.option.loadscopereorder = False  # ours is by time, not by number of tests
        return Lanes(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: WorkerController) -> None:
        self._workers.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker that crashed fails the run, even if it was between two tests."""
        if not error or error == "keyboard-interrupt":
            return
        name = f"worker {node.gateway.id}"
        report = pytest.TestReport(
            nodeid=name,
            location=("tests", None, name),
            keywords={},
            outcome="failed",
            longrepr=f"{name} crashed: {error}",
            when="teardown",
        )
        node.config.hook.pytest_runtest_logreport(report=report)
        for home in Path("/tmp").glob(f"{_prefix(node.workerinput)}*"):
            stop_servers(home)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGTERM. Ctrl-C reaches the workers by itself; this does not."""
        if self._workers:
            for worker in psutil.Process().children():
                with suppress(psutil.Error):
                    worker.send_signal(signal.SIGINT)
        raise KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Let workers that were interrupted stop what they started; xdist would give them 10 s."""
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            for node in self._workers:
                with suppress(Exception):
                    node.channel.waitclose(STOP_S)


def home_prefix(config: pytest.Config) -> str:
    """How the name of the folder of this process' servers begins."""
    given: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    return f"atl-{os.getpid()}-" if given is None else _prefix(given)


def _prefix(given: Mapping[str, Any]) -> str:
    return f"atl-{given['testrunuid'][:8]}-{given['workerid']}-"


def stop_servers(home: Path) -> None:
    """Servers outlive a killed parent by design."""
    for server in EmbeddedServers(home).servers:
        if server.process.adopt():
            server.stop()
    shutil.rmtree(home, ignore_errors=True)
