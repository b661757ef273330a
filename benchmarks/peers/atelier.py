"""Atelier itself: the whole service as ./scripts/run starts it, asked as docs/api.md says."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.loads import USERS, Refused, Server, Wanted
from benchmarks.peers.systems import checked, http_client
from benchmarks.running_service import running_service

PLENTY = 10**9  # credits
# Requests a minute, of one user: the callers here are many people behind three accounts.
ENVIRONMENT = {"RATE_LIMIT_PER_MINUTE": str(10**6)}


class Atelier:
    """The service on the data in ``home``, and three users of it without limits.

    A picture is a job: submitted, waited for with ``?wait=``, and fetched from its signed link. Its
    steps are mixed with those of other jobs, whatever their prompt, seed, steps and guidance.
    """

    name = "Atelier"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._keys: list[str] = []

    def missing(self) -> str | None:
        return None

    @contextmanager
    def running(self) -> Iterator[Server]:
        with (
            running_service(self._home, ENVIRONMENT) as service,
            http_client(base_url=service.base_url) as http,
            http_client() as links,
        ):
            if not self._keys:
                self._keys = [new_user(http, service.admin_api_key) for _ in range(USERS)]
            yield Drawing(http, links, self._keys)


@dataclass(frozen=True)
class Drawing:
    """The service, asked with the API key of the user who wants the picture."""

    http: httpx.Client
    links: httpx.Client
    keys: list[str]
    name: str = Atelier.name

    def draw(self, wanted: Wanted) -> bytes:
        key = {"X-API-Key": self.keys[wanted.user]}
        values = {
            "prompt": wanted.prompt,
            "seed": wanted.seed,
            "steps": wanted.steps,
            "guidance": wanted.guidance,
        }
        body = {"generator": "image", "input": values}
        try:
            job = checked(self.http.post("/v1/jobs", json=body, headers=key)).json()
            path = f"/v1/jobs/{job['id']}"
            while job["status"] in ("queued", "running"):
                job = checked(self.http.get(path, params={"wait": 60}, headers=key)).json()
            if job["status"] != "succeeded":
                raise Refused(f"{job['status']}: {job['error']}")
            return checked(self.links.get(job["outputs"][0]["url"])).content
        except httpx.TransportError as error:
            raise Refused(repr(error)) from error


def new_user(http: httpx.Client, admin_api_key: str) -> str:
    """Register somebody without limits and with plenty of credits; returns an API key."""
    email = f"{secrets.token_hex(6)}@example.com"
    password = secrets.token_urlsafe(16)
    checked(http.post("/v1/auth/register", json={"email": email, "password": password}))
    login = {"username": email, "password": password}
    token = checked(http.post("/v1/auth/token", data=login)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    key = checked(http.post("/v1/api-keys", json={"name": "benchmark"}, headers=bearer)).json()
    user = checked(http.get("/v1/me", headers=bearer)).json()["id"]
    admin, path = {"X-API-Key": admin_api_key}, f"/v1/admin/users/{user}"
    checked(http.patch(path, json={"plan": "unlimited"}, headers=admin))
    grant = {"amount": PLENTY, "reason": "benchmark"}
    checked(http.post(f"{path}/grants", json=grant, headers=admin))
    return str(key["key"])
