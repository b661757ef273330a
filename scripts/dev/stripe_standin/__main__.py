"""``python -m scripts.dev.stripe_standin --port 8091``: the stand-in as a server on the loopback.

Events are signed with the secret in ``STRIPE_WEBHOOK_SECRET``: every user of a machine can read
the command lines of its processes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from scripts.dev.stripe_standin.app import create_app
from scripts.dev.stripe_standin.world import World


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.dev.stripe_standin", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="kept there over a restart")
    parser.add_argument("--webhook-url", help="events go there, signed with STRIPE_WEBHOOK_SECRET")
    options = parser.parse_args()
    world = World(options.state)
    world.private["base"] = f"http://127.0.0.1:{options.port}"
    if options.webhook_url:
        for old in world.all("webhook_endpoint"):
            if old["metadata"].get("of") == "command line":
                del world.objects["webhook_endpoint"][old["id"]]
        endpoint = world.make(
            "webhook_endpoint",
            url=options.webhook_url,
            enabled_events=["*"],
            status="enabled",
            metadata={"of": "command line"},
        )
        world.private[f"secret:{endpoint['id']}"] = os.environ.get(
            "STRIPE_WEBHOOK_SECRET", "whsec_standin"
        )
        for delivery in world.deliveries:  # what could not be delivered before it was stopped
            delivery["endpoint"] = endpoint["id"]
    world.save()
    uvicorn.run(create_app(world), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
