"""A stand-in for Stripe beside the stores, so that buying credits can be tried on a fresh machine.

No money moves. With ``STRIPE_API_KEY`` set the real one is used instead.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import httpx

from db.embedded.process import Command, ServerProcess
from db.embedded.state import State
from scripts.dev import cluster
from scripts.dev.stripe_standin import API_KEY


class StripeStandIn:
    """Answers as Stripe does; what it was told survives a stop (``stripe.json``)."""

    name = "stripe-stand-in"

    def __init__(self, folder: Path, state: State, webhook_url: str) -> None:
        self._folder, self._state, self._webhook_url = folder, state, webhook_url
        self.process = ServerProcess(self.name, folder)

    def environment(self) -> dict[str, str]:
        return {
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": f"http://127.0.0.1:{self._state.port('stripe_port')}",
            "STRIPE_WEBHOOK_SECRET": self._webhook_secret(),
        }

    def start(self) -> None:
        # One that was left running tells another port of its events: it is replaced.
        self.process.adopt()
        self.process.stop(signal.SIGTERM)
        self._state.claim_ports(["stripe_port"])
        self.process.start(
            Command(
                arguments=[
                    *(sys.executable, "-m", "scripts.dev.stripe_standin"),
                    *("--port", str(self._state.port("stripe_port"))),
                    *("--state", str(self._folder / "stripe.json")),
                    *("--webhook-url", self._webhook_url),
                ],
                folder=cluster.ROOT,
                environment={
                    "PATH": os.defpath,
                    "STRIPE_WEBHOOK_SECRET": self._webhook_secret(),
                },
            )
        )
        self.process.wait_until(self.is_ready, 30)

    def stop(self) -> None:
        self.process.stop(signal.SIGTERM)

    def is_ready(self) -> bool:
        try:
            answer = httpx.get(
                f"{self.environment()['STRIPE_API_BASE']}/v1/balance",
                headers={"Authorization": f"Bearer {API_KEY}"},
                timeout=2,
            )
            return answer.status_code == 200
        except httpx.HTTPError:
            return False

    def needs_restart(self) -> bool:
        """Never."""
        return False

    def _webhook_secret(self) -> str:
        return f"whsec_{self._state.secret('stripe_webhook')}"
