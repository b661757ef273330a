"""What a replica asks Ray about itself, and somebody else about it: its name, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import ray
import structlog
from ray import serve
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from deployments.worker.ray_nodes import draining_nodes

NAMESPACE = "serve"  # in which Serve keeps its actors
POLL_INTERVAL_S = 2.0

log = structlog.get_logger(__name__)


def current_replica() -> str:
    """The name of the replica this is called in: its actor's, and the node's it runs on."""
    actor = serve.get_replica_context().replica_id.to_full_id_str()
    return f"{actor}@{ray.get_runtime_context().get_node_id()}"


def shutdown_grace_s() -> float:
    """Seconds that the replica this is called in has, once it was told to stop, before Serve ends
    its process. As it was when the replica started: Serve tells it of no later change."""
    config = serve.get_replica_context()._deployment_config
    return float(config.graceful_shutdown_timeout_s)


async def watch_node_drain(drain: Callable[[float | None], object]) -> None:
    """Call ``drain`` once the node this runs on is to go, with the seconds left (None: any number).

    Whoever stops the node says so to Ray (``ray drain-node``). Called again with every look, since
    a deadline may come later. Never ends by itself, and says nothing while Ray cannot be asked.
    """
    node = ray.get_runtime_context().get_node_id()
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    told = False
    while True:
        draining = await asyncio.to_thread(draining_nodes, client)
        if node in draining:
            left = draining[node] / 1000 - time.time() if draining[node] else None
            if not told:
                log.warning("node_is_drained", seconds_left=left)
            told = True
            drain(left)
        await asyncio.sleep(POLL_INTERVAL_S)


async def crashed(replica: str) -> bool:
    """Whether the process of ``replica`` has ended while its node lives on.

    A replica that is paused, or cut off, has not crashed; with its node everything on it ended, and
    none of its jobs is to blame.
    """
    actor, _, node = replica.partition("@")
    return await asyncio.to_thread(_crashed, actor, node)


def _crashed(actor: str, node: str) -> bool:
    try:
        ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())
    return False
