"""What the drill is played on: a whole service as ./scripts/run starts it, on a disk of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from rich.console import Console

from atelier_admin.local_run import ray_folder
from db.embedded.state import free_port
from models.profiles.load import load_profile
from scripts.dev.cluster import ROOT
from scripts.dev.service import LocalService
from tests.alert_drill.receiver import Receiver
from tests.support.application import replica_pids

DISK_BYTES = 3 * 2**30
CREDITS = 1_000_000
HANG_S = 240.0  # only there to end a hang
# One with models, one that does what it is told, and one with long jobs.
GENERATORS = ["deployments.generators.image", "tests.support.scribe", "tests.alert_drill.laggard"]


@dataclass(frozen=True)
class Stage:
    """The service and its parts. ``environment`` is that of a terminal beside it."""

    base_url: str
    data: Path
    ray_folder: Path
    disk: Path | None  # what the stores write to, if it is one that can be filled
    environment: Mapping[str, str]
    database_url: str
    customer: httpx.Client
    admin: httpx.Client
    receiver: Receiver

    def submit(self, generator: str, given: Mapping[str, Any], **more: Any) -> str:
        """Submit a job and return its id."""
        body = {"generator": generator, "input": dict(given), **more}
        answer = self.customer.post("/v1/jobs", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def cancel(self, job_ids: list[str]) -> None:
        """Ask for it, and wait until they have ended."""
        for job_id in job_ids:
            self.customer.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        for job_id in job_ids:
            self.finish(job_id)

    def finish(self, job_id: str) -> None:
        """Wait until the job has ended, however."""
        ended = "SELECT 1 FROM jobs WHERE id = %s AND finished_at IS NOT NULL"
        until(lambda: bool(self.sql(ended, job_id)), f"{job_id} does not end")

    def order(self, generator: str, order: str) -> None:
        """Pause or resume a queue."""
        self.admin.post(f"/v1/admin/queues/{generator}/{order}").raise_for_status()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own; returns its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description is not None else []

    def command(self, *words: str) -> None:
        """Run ``atelier-admin``.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        subprocess.run(
            [sys.executable, "-m", "atelier_admin", *words, "--data", str(self.data)],
            cwd=ROOT, env=self.environment, check=True, capture_output=True,
        )  # fmt: skip

    def server(self, name: str) -> psutil.Process:
        """A server of ./scripts/run, by its name in dev.json."""
        return psutil.Process(json.loads((self.data / "dev.json").read_text())["pids"][name])

    def replicas(self, deployment: str) -> list[psutil.Process]:
        found = []
        for pid in replica_pids(deployment):
            if psutil.pid_exists(pid):
                found.append(psutil.Process(pid))
        return found

    def proxies(self) -> list[psutil.Process]:
        """HAProxy, which Serve listens with."""
        return [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "haproxy"
            and any(str(self.ray_folder) in word for word in process.info["cmdline"] or [])
        ]

    def restart_maintenance(self) -> None:
        """Kill the keeper and wait for the next one, which begins with a round of every task."""
        before = set(replica_pids("keeper"))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: bool(set(replica_pids("keeper")) - before), "no keeper was started")


def until(is_so: Callable[[], bool], otherwise: str, seconds: float = HANG_S) -> None:
    """Wait for it.

    Raises:
        TimeoutError: it is not so after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.3)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """``folder`` as a disk in memory, where root may mount one; None elsewhere."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def stage(console: Console) -> Iterator[tuple[Stage, Path]]:
    """The service, and a folder for whatever reads it; both are gone afterwards.

    Raises:
        scripts.dev.service.StartFailed: a part of it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="atl-alerts-", dir="/tmp") as home:
        data = Path(home) / "data"
        Path(home).chmod(0o711)
        data.mkdir()
        before = dict(os.environ)
        for name in ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT", "MONGODB_URL", "STRIPE_API_KEY"):
            os.environ.pop(name, None)  # the drill has stores of its own, and breaks no others
        os.environ |= {
            "BACKUP_URL": str(Path(home) / "backups"),
            "RATE_LIMIT_PER_MINUTE": "100000",
            "ATELIER_FETCH_PRIVATE": "true",  # where the webhooks' receiver is
            "PYTHONPATH": str(ROOT),
        }
        environment = dict(os.environ)
        receiver = Receiver()
        profile = load_profile("tiny")
        with small_disk(data) as disk:
            port = free_port()
            service = LocalService(data, port, port, profile, console, generators=GENERATORS)
            try:
                service.start()
                with _stage(service, data, disk, environment, receiver) as made:
                    yield made, Path(home)
            finally:
                service.stop()
                receiver.close()
                os.environ.clear()
                os.environ.update(before)


@contextmanager
def _stage(
    service: LocalService,
    data: Path,
    disk: Path | None,
    environment: Mapping[str, str],
    receiver: Receiver,
) -> Iterator[Stage]:
    def client(key: str) -> httpx.Client:
        return httpx.Client(base_url=service.base_url, headers={"X-API-Key": key}, timeout=60)

    with client(service.api_key) as customer, client(service.admin_api_key) as admin:
        made = Stage(
            base_url=service.base_url,
            data=data,
            ray_folder=ray_folder(data),
            disk=disk,
            environment=environment,
            database_url=os.environ["DATABASE_URL"].replace("+psycopg", ""),
            customer=customer,
            admin=admin,
            receiver=receiver,
        )
        ((user_id,),) = made.sql("SELECT id FROM users WHERE email = 'demo@example.com'")
        granted = {"amount": CREDITS, "reason": "for the drill"}
        admin.post(f"/v1/admin/users/{user_id}/grants", json=granted).raise_for_status()
        yield made
