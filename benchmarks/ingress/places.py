"""Where the API runs: in the whole service as ./scripts/run starts it, or alone behind uvicorn."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from benchmarks.running_service import running_service, service_home
from benchmarks.stores import GENERATOR, SECRET
from db.embedded.state import free_port
from db.settings import StoreSettings
from serve_app.api import create_api
from serve_app.settings import AuthSettings, LimitSettings, Settings

START_S = 120.0
MOST = 10**9  # of what the limits would count


@contextmanager
def whole_service(stores: StoreSettings) -> Iterator[tuple[str, int]]:
    """The address of the service: HAProxy, an ingress replica of Ray Serve, maintenance, replicas.

    The queue that is submitted to is paused, so that drawing has no part of the cores.
    """
    limits = {"RATE_LIMIT_PER_MINUTE": str(MOST), "MAX_WAITING_JOBS": str(MOST)}
    environment = _environment(stores) | limits
    with service_home() as home, running_service(home, environment) as service:
        answer = httpx.post(
            f"{service.base_url}/v1/admin/queues/{GENERATOR}/pause",
            headers={"X-API-Key": service.admin_api_key},
            timeout=30,
        )
        answer.raise_for_status()
        url = httpx.URL(service.base_url)
        assert url.port is not None
        yield url.host, url.port


@contextmanager
def api_alone(stores: StoreSettings) -> Iterator[tuple[str, int]]:
    """The address of the same API behind uvicorn, in one process, without Ray; nothing draws."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(port, stores), daemon=True
    )
    process.start()
    try:
        _await_answer(f"http://127.0.0.1:{port}/healthz")
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.join()


def _serve(port: int, stores: StoreSettings) -> None:
    # A line for each request goes to a file, as Ray has it: to a terminal it would cost more.
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
    limits = LimitSettings(RATE_LIMIT_PER_MINUTE=MOST, MAX_WAITING_JOBS=MOST)
    settings = Settings(stores, AuthSettings(JWT_SECRET=SECRET), limits)
    api = create_api([f"deployments.generators.{GENERATOR}"], settings)
    uvicorn.run(api, port=port, log_level="warning", access_log=False)


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            httpx.get(url, timeout=5).raise_for_status()
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _environment(stores: StoreSettings) -> dict[str, str]:
    """What the stores' settings are read from."""
    return {
        "DATABASE_URL": stores.database_url.get_secret_value(),
        "REDIS_URL": stores.redis_url.get_secret_value(),
        "S3_ENDPOINT": stores.s3_endpoint,
        "S3_ACCESS_KEY": stores.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": stores.s3_secret_key.get_secret_value(),
    }
