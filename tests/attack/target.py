"""The service that is attacked, and what its customers feel meanwhile."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import psutil

PASSWORD = "correct horse battery staple"
# A busy service asks to come back; so long it may go on doing so.
BUSY_S = 60.0
AGAIN_S = 0.5


class PatientTransport(httpx.AsyncBaseTransport):
    """Sends a request again while the answer is 503 with ``Retry-After``, for a minute at most."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        until = time.monotonic() + BUSY_S
        while True:
            answer = await self._transport.handle_async_request(request)
            busy = answer.status_code == 503 and "retry-after" in answer.headers
            if not busy or time.monotonic() > until:
                return answer
            await answer.aclose()
            await asyncio.sleep(AGAIN_S)

    async def aclose(self) -> None:
        await self._transport.aclose()


@dataclass(frozen=True)
class Target:
    """A running service. ``api_key`` is a paying customer's, ``admin_key`` an administrator's."""

    url: str
    api_key: str
    admin_key: str | None

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 80)

    def ingress(self) -> psutil.Process | None:
        """The process that serves the API, if it runs on this machine."""
        if not ipaddress.ip_address(socket.gethostbyname(self.host)).is_loopback:
            return None
        # Another Ray on this machine may have one, too: ours has the raylet above our proxy.
        above = {ancestor.pid for proxy in self._proxies() for ancestor in proxy.parents()} - {1}
        for process in psutil.process_iter(["cmdline", "ppid"]):
            words = " ".join(process.info["cmdline"] or [])
            is_ingress = words.startswith("ray::ServeReplica") and "ingress" in words
            if is_ingress and process.info["ppid"] in above:
                return process
        return None

    def _proxies(self) -> list[psutil.Process]:
        """The processes that take connections at the service's port."""
        return [
            psutil.Process(connection.pid)
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr.port == self.port
            and connection.pid is not None
        ]

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client from an address of this machine that was not used before, most likely."""
        number = secrets.randbelow(250 * 250)
        address = f"127.{100 + number % 100}.{1 + number // 250}.{1 + number % 250}"
        async with self._client(httpx.AsyncHTTPTransport(local_address=address)) as client:
            yield client

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        async with self._client(httpx.AsyncHTTPTransport()) as client:
            if key:
                client.headers["X-API-Key"] = key
            yield client

    def _client(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, transport=PatientTransport(transport), timeout=60
        )


@dataclass
class Felt:
    """How long customers waited for answers, in milliseconds, and how many got none."""

    healthz: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def words(self) -> str:
        return (
            f"healthz p95 {p95(self.healthz):.0f} ms (most {max(self.healthz, default=0):.0f}), "
            f"submit p95 {p95(self.submits):.0f} ms (most {max(self.submits, default=0):.0f})"
            + (f", {len(self.failed)} failed: {self.failed[0]}" if self.failed else "")
        )


def p95(values: list[float]) -> float:
    """The 95th percentile, by the nearest rank; infinite without values."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else math.inf


class Customers:
    """A health check and a paying customer, who go on while the service is attacked."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._jobs: list[str] = []

    async def feel(self, stop: asyncio.Event) -> Felt:
        felt = Felt()
        async with (
            self._target.client() as anyone,
            self._target.client(self._target.api_key) as customer,
        ):
            await asyncio.gather(
                self._ask_health(anyone, felt, stop), self._submit(customer, felt, stop)
            )
        return felt

    async def _ask_health(self, client: httpx.AsyncClient, felt: Felt, stop: asyncio.Event) -> None:
        while not stop.is_set():
            started = time.perf_counter()
            try:
                answer = await client.get("/healthz", timeout=30)
                if answer.status_code != 200:
                    felt.failed.append(f"healthz {answer.status_code}")
            except httpx.HTTPError as error:
                felt.failed.append(f"healthz {type(error).__name__}")
            felt.healthz.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.05)

    async def _submit(self, client: httpx.AsyncClient, felt: Felt, stop: asyncio.Event) -> None:
        body = {"generator": "image", "input": {"prompt": "a red circle"}, "priority": "low"}
        while not stop.is_set():
            started = time.perf_counter()
            try:
                answer = await client.post("/v1/jobs", json=body, timeout=30)
                if answer.status_code == 202:
                    self._jobs.append(answer.json()["id"])
                else:
                    felt.failed.append(f"submit {answer.status_code}")
            except httpx.HTTPError as error:
                felt.failed.append(f"submit {type(error).__name__}")
            felt.submits.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.5)  # the customer has a rate limit, too

    async def clear(self) -> None:
        """Cancel what was submitted."""
        async with self._target.client(self._target.api_key) as client:
            for job in self._jobs:
                with suppress(httpx.HTTPError):
                    await client.post(f"/v1/jobs/{job}/cancel")
        self._jobs.clear()


@asynccontextmanager
async def paused_queue(target: Target) -> AsyncIterator[None]:
    """No picture is made meanwhile: drawing would take the time that is measured here."""
    async with target.client(target.admin_key) as admin:
        (await admin.post("/v1/admin/queues/image/pause")).raise_for_status()
        try:
            yield
        finally:
            (await admin.post("/v1/admin/queues/image/resume")).raise_for_status()
