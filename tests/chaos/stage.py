"""What the harness is played on: servers, perhaps on a disk of their own, and the application."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.embedded.supervisor import EmbeddedServers
from tests.chaos.load import CREDITS
from tests.chaos.sabotage import SITE
from tests.support.application import Application, running

DISK = "1200m"


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a disk of its own: in memory, and for root alone."""
    with tempfile.TemporaryDirectory(prefix="atl-", dir="/tmp") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        try:
            yield Path(folder), mounted
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def stage(
    modules: list[str], without: str | None
) -> Iterator[tuple[EmbeddedServers, Path | None, Application]]:
    """Servers, their disk if it is one that can be filled, and application of our own."""
    with small_disk() as (folder, mounted):
        folder.chmod(0o711)
        servers = EmbeddedServers(folder)
        servers.start()
        servers.watch()
        try:
            environment = {
                **servers.environment(),
                "WELCOME_CREDITS": str(CREDITS),
                "RATE_LIMIT_PER_MINUTE": "100000",
                "ATELIER_TOYS": str(folder / "toys"),
                "ATELIER_FETCH_PRIVATE": "true",  # where the webhooks' receiver is
                "ATELIER_SPEECH": "espeak-ng",  # at once: here jobs are many, and small
            }
            if without:
                environment |= {"CHAOS_WITHOUT": without, "PYTHONPATH": str(SITE)}
            with running(environment, deployed=False) as application:
                deploy(application, modules, 0)
                yield servers, folder if mounted else None, application
        finally:
            servers.stop()


def deploy(application: Application, modules: list[str], number: int) -> None:
    # An argument that differs makes the replicas be replaced.
    application.redeploy(
        generators=modules,
        max_replicas=2,
        ingress_replicas=2,
        replica_cpus=0.04 + number / 10_000,
    )
