"""Diagnose this machine, the profile that it would run and its weights, and the service here.

It changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from atelier_admin.diagnosis_models import Finding, check_gpu, check_profile
from atelier_admin.local_run import DEFAULT_PORT, ray_folder
from atelier_admin.servers import read_dev_file
from db.embedded.lock import holder
from db.embedded.state import FILE, port_is_free
from db.embedded.supervisor import EmbeddedServers

PACKAGES = ("torch", "diffusers", "transformers", "ray", "fastapi", "sqlalchemy", "psycopg")
# Where ``ray start`` says which cluster this machine is of.
RAY_ADDRESS = Path("/tmp/ray/ray_current_cluster")
DISK_BYTES = 2 * 2**30
MEMORY_BYTES = 3 * 2**30


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def check_machine(data: Path, writes: bool = True) -> Iterator[Finding]:
    """Check packages, disks and memory, and whether ``data`` can be written where it ``writes``."""
    version = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    yield Finding("Python", version + (": 3.11 or later is needed" if old else ""), old)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    said = f"missing: {', '.join(missing)}; ./scripts/run installs them" if missing else "installed"
    yield Finding("packages", said, bool(missing))
    for what, folder in (("disk", _existing(data)), ("disk for Ray", Path("/tmp"))):
        free = shutil.disk_usage(folder).free
        full = free < DISK_BYTES
        hint = f"; at least {_gib(DISK_BYTES)} are wanted, make room" if full else ""
        yield Finding(what, f"{_gib(free)} free at {folder}{hint}", full)
    available = psutil.virtual_memory().available
    short = available < MEMORY_BYTES
    hint = f"; a run wants {_gib(MEMORY_BYTES)}, close something" if short else ""
    yield Finding("memory", f"{_gib(available)} available{hint}", short)
    if writes and not os.access(_existing(data), os.W_OK):
        yield Finding("data", f"{data} cannot be written by this user; choose another --data", True)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def check_idle(data: Path) -> Iterator[Finding]:
    """Check data that no run uses: obstacles to a start, and servers of a killed run."""
    yield Finding("run", f"none on {data}; start one with ./scripts/run", None)
    if not port_is_free(DEFAULT_PORT):
        remark = f"port {DEFAULT_PORT} is taken by {_listener(DEFAULT_PORT)}; a run takes another"
        yield Finding("port", remark, None)
    leftover = [server.name for server in _servers(data) if server.process.adopt()]
    if leftover:
        remark = f"{', '.join(leftover)} still run; the next ./scripts/run takes them over"
        yield Finding("left behind", remark, None)


def check_node() -> Iterator[Finding]:
    """Check what runs on a node of a cluster, whose settings are in the environment.

    Not covered: stores, where the proxy and the ingress are on another node; another port than
    serve_config.yaml's own.
    """
    url = f"http://127.0.0.1:{DEFAULT_PORT}"
    if port_is_free(DEFAULT_PORT):
        head = _head_elsewhere()
        said = f"the head is {head}" if head else f"nothing listens at {url}"
        yield Finding("HTTP", said, None if head else True)
        return
    yield _probe("HTTP", f"{url}/healthz", lambda _: "answers")
    yield _probe("readiness", f"{url}/readyz", _readiness)


def _head_elsewhere() -> str | None:
    """The address of the cluster's head if this machine has joined it and is not the head."""
    try:
        host = RAY_ADDRESS.read_text().strip().rpartition(":")[0]
    except OSError:  # no Ray runs here
        return None
    own = {one.address for found in psutil.net_if_addrs().values() for one in found}
    return None if host in own else host


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            local: Any = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"


def _servers(data: Path) -> list[Any]:
    if not (data / "embedded.json").exists():
        return []
    return EmbeddedServers(data, os.environ).servers


def check_running(data: Path, pid: str) -> Iterator[Finding]:
    """Check each part of the run that uses the data."""
    yield Finding("run", f"pid {pid} on {data}")
    for server in _servers(data):
        alive, answers = server.process.adopt(), server.is_ready()
        if answers:
            yield Finding(server.name, "answers")
        else:
            state = "runs but does not answer" if alive else "is down; its run restarts it"
            yield Finding(server.name, f"{state}. {server.process.tail()}", True)
    dev = read_dev_file(data)
    if not dev:
        yield Finding("start", "not finished (no dev.json yet)", None)
        return
    yield _probe("HTTP", f"{dev['base_url']}/healthz", lambda _: "answers")
    yield _probe("readiness", f"{dev['base_url']}/readyz", _readiness)
    yield _probe("Ray dashboard", str(dev["dashboard_url"]), lambda _: "answers")
    logs = ray_folder(data) / "session_latest" / "logs" / "worker-*.err"
    yield Finding("logs", f"{data / 'logs'} and {logs}", None)


def _readiness(answer: httpx.Response) -> str:
    checks: dict[str, bool] = answer.json()["checks"]
    down = [name for name, works in checks.items() if not works]
    return f"down: {', '.join(down)}" if down else f"all of {', '.join(checks)}"


def _probe(what: str, url: str, says: Callable[[httpx.Response], str]) -> Finding:
    try:
        answer = httpx.get(url, timeout=10)
    except httpx.HTTPError as error:
        return Finding(what, f"{url} does not answer: {error}", True)
    # A dashboard that asks for its token (401) is up. 404 is another program.
    if answer.status_code == 404:
        return Finding(what, f"{url} answered 404: another program listens there", True)
    wrong = answer.status_code >= 500
    try:
        return Finding(what, f"{url}: {says(answer)}", wrong)
    except (ValueError, KeyError):
        return Finding(what, f"{url} answered {answer.status_code}", wrong)


def examine(data: Path) -> list[Finding]:
    """Run every check; ``data`` is the folder of a local run, or where one would be."""
    pid = holder(data)
    # The stores are elsewhere: nothing but a backup writes there, and it says so itself.
    is_node = bool(os.environ.get("DATABASE_URL")) and not (data / FILE).exists()
    if pid is not None:
        service = check_running(data, pid)
    elif is_node:
        service = check_node()
    else:
        service = check_idle(data)
    machine = check_machine(data, writes=not is_node)
    return [*machine, *check_gpu(), *check_profile(), *service]
