"""The parts of a local service in the order they start and stop."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from atelier_admin.backup.server import WalArchiver
from atelier_admin.local_run import ray_folder
from atelier_client import Client
from atelier_client.command.follow import follow
from atelier_client.command.screen import Screen
from db.embedded.process import ServerFailed
from db.embedded.state import State
from db.embedded.supervisor import EmbeddedServers, Server
from models.profiles.load import Profile
from scripts.dev import cluster
from scripts.dev.environment import atelier_environment, ray_environment
from scripts.dev.ports import PortClaims
from scripts.dev.standin import StripeStandIn


class StartFailed(RuntimeError):
    """A part did not start; the message says which and why."""


class LocalService:
    """Servers, Ray, application, demo accounts; and a first picture through all of them."""

    def __init__(
        self,
        data: Path,
        port: int | None,
        default_port: int,
        profile: Profile,
        console: Console,
        **changed: Any,
    ) -> None:
        """``changed`` are arguments of the application that differ from serve_config.yaml's."""
        self._changed = changed
        self._data, self._console, self._profile = data.resolve(), console, profile
        self._asked_port, self._default_port = port, default_port
        self._port = 0
        self._claims = PortClaims()
        self._servers: EmbeddedServers | None = None
        self._ray_folder = ray_folder(self._data)
        self.dashboard_url = ""
        self.api_key = self.admin_api_key = ""
        self._stands_in = not os.environ.get("STRIPE_API_KEY")

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Bring everything up.

        Raises:
            StartFailed: with the part that did not come up.
        """
        left = cluster.sweep_leftovers(self._ray_folder)
        if left:
            self._console.print(f"  ended {left} processes of a run that was killed")
        self._port = choose_port(self._asked_port, self._default_port, self._claims)
        with self._step("stores"):
            self._servers = EmbeddedServers(self._data, os.environ, self._extra_servers())
            self._servers.start()
            self._servers.watch()
            self._set_environment(self._servers)
        with self._step("database schema"):
            from db.migrate import upgrade

            upgrade(os.environ["DATABASE_URL"])
        with self._step("accounts"):
            from scripts.dev.demo_accounts import ensure_demo_user

            self.api_key, self.admin_api_key = ensure_demo_user(os.environ["DATABASE_URL"])
        if self._stands_in:
            with self._step("Stripe stand-in"):
                from billing.settings import StripeSettings
                from billing.stripe.setup import set_up

                asyncio.run(set_up(StripeSettings(), "usd", None))
        with self._step("Ray"):
            self.dashboard_url = cluster.start_ray(self._ray_folder, self._data)
        with self._step("application"):
            cluster.deploy(self._port, gpu=self._profile.device == "cuda", **self._changed)
            self._wait_until_ready()
        with self._step("job submission"):
            cluster.wait_until_jobs_are_taken(self.dashboard_url)
        self._write_dev_file()

    def stop(self) -> None:
        """Stop everything; the data stays."""
        with self._step("stopping"):
            cluster.stop_ray()
            cluster.sweep_leftovers(self._ray_folder)
            if self._servers is not None:
                self._servers.stop()
            self._claims.release()
            (self._data / "dev.json").unlink(missing_ok=True)

    def first_picture(self, prompt: str, folder: Path) -> Path:
        """Draw the prompt through all parts and return where the picture is.

        Raises:
            AtelierError: the service refused it, or the job failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with Client(self.base_url, self.api_key) as client, Screen().progress() as reporter:
            job = follow(client, client.jobs.create("image", {"prompt": prompt}), reporter)
            output = job.require_success().outputs[0]
            return client.save(output, folder / f"{job.id}-{output.name}")

    def print_links(self) -> None:
        rows = {
            "API": self.base_url,
            "API docs": f"{self.base_url}/docs",
            "Ray dashboard": self.dashboard_url,
            "its token": "ray get-auth-token",
            "API key": self.api_key,
            "all of this": str(self._data / "dev.json"),
        }
        if self._stands_in:
            rows["payments"] = "through a stand-in for Stripe: no money moves"
        for name, value in rows.items():
            self._console.print(f"  {name:14} {value}", highlight=False)
        self._console.print("Ctrl-C stops everything; the data stays.")

    def _extra_servers(self) -> list[Callable[[Path, State], Server]]:
        extra: list[Callable[[Path, State], Server]] = []
        if self._stands_in:
            webhook = f"{self.base_url}/v1/billing/stripe/webhook"
            extra.append(lambda folder, state: StripeStandIn(folder, state, webhook))
        if os.environ.get("BACKUP_URL") and not os.environ.get("DATABASE_URL"):
            extra.append(WalArchiver)
        return extra

    def _stripe_environment(self) -> dict[str, str] | None:
        names = ("STRIPE_API_KEY", "STRIPE_API_BASE")
        return {name: os.environ[name] for name in names} if self._stands_in else None

    def _set_environment(self, servers: EmbeddedServers) -> None:
        secret = State(self._data).secret("jwt_secret")
        ours = atelier_environment(cluster.ROOT, secret, self._profile.name, os.environ)
        os.environ.update(ours)
        os.environ.update(ray_environment(self._ray_folder, self._claims))
        os.environ.update(servers.environment())
        os.environ.setdefault("ATELIER_DATA_DIR", str(self._data.resolve()))

    def _wait_until_ready(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{self.base_url}/readyz", timeout=5)
                if answer.status_code == 200:
                    return
                last = answer.text[:300]
            except httpx.HTTPError as error:
                last = str(error)
            time.sleep(0.2)
        raise StartFailed(f"the service is not ready after {seconds:.0f} s: {last}")

    def _write_dev_file(self) -> None:
        content = {
            "base_url": self.base_url,
            "api_key": self.api_key,
            "admin_api_key": self.admin_api_key,
            "dashboard_url": self.dashboard_url,
            # Where there is no stand-in for Stripe, the environment knows the real one.
            "stripe": self._stripe_environment(),
            "pids": {"run": os.getpid(), **(self._servers.pids() if self._servers else {})},
        }
        path = self._data / "dev.json"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=1)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        with self._console.status(f"{name}..."):
            try:
                yield
            except (ServerFailed, OSError, RuntimeError) as error:
                if isinstance(error, StartFailed):
                    raise
                raise StartFailed(f"{name}: {error}") from error
        self._console.print(f"  {name:18} {time.monotonic() - started:5.1f} s", highlight=False)


def choose_port(asked: int | None, default: int, claims: PortClaims) -> int:
    """Claim the port of the HTTP API: the one asked for, else the default or any free one.

    Raises:
        StartFailed: another process has the port that was asked for.
    """
    if asked is not None:
        if not claims.claim(asked):
            raise StartFailed(f"port {asked} is taken; choose another with --port")
        return asked
    return default if claims.claim(default) else claims.free_port()
