"""A stand-in for Stripe that Stripe's own SDK talks to over HTTP; no money moves.

Requests are checked as strictly as Stripe documents them, webhooks are signed, and time can be
moved on.
Not covered: taxes, discounts, several currencies of one price, quantities other than one in
subscriptions, trials, 3-D Secure, Connect, and two requests with one idempotency key at the very
same moment (they are answered one after the other).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from db.embedded.state import free_port

ROOT = Path(__file__).resolve().parents[3]
API_KEY = "sk_test_standin"
DAY = 86_400


@dataclass(frozen=True)
class StandIn:
    """One that runs; ``act`` does what customers, banks and the dashboard do."""

    url: str
    webhook_secret: str
    process: subprocess.Popen[bytes]
    api_key: str = API_KEY

    def act(self, name: str, **given: Any) -> Any:
        answer = httpx.post(f"{self.url}/standin/{name}", json=given, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def environment(self) -> dict[str, str]:
        """What leads Atelier to it."""
        return {
            "STRIPE_API_KEY": self.api_key,
            "STRIPE_API_BASE": self.url,
            "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
        }


@contextmanager
def standin(
    webhook_url: str | None = None,
    *,
    secret: str = "whsec_of_the_tests",
    state: Path | None = None,
    port: int | None = None,
) -> Iterator[StandIn]:
    """Runs as a process of its own, and ends with the block."""
    port = port or free_port()
    arguments = ["--port", str(port)]
    if webhook_url is not None:
        arguments += ["--webhook-url", webhook_url]
    if state is not None:
        arguments += ["--state", str(state)]
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.dev.stripe_standin", *arguments],
        cwd=ROOT,
        env={**os.environ, "STRIPE_WEBHOOK_SECRET": secret},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield StandIn(url, secret, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            headers = {"Authorization": f"Bearer {API_KEY}"}
            if httpx.get(f"{url}/v1/balance", headers=headers).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the stand-in did not start")
        time.sleep(0.05)
