"""Ask Ray about a replica: its name, the time it has to shut down, whether it crashed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
import structlog
from ray import serve
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from deployments.ray_nodes import draining_nodes

NAMESPACE = "serve"  # the Ray namespace of Serve's actors
POLL_INTERVAL_S = 2.0
CONNECT_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


def current_replica() -> str:
    """The calling replica's name: its actor's name and the id of its node."""
    actor = serve.get_replica_context().replica_id.to_full_id_str()
    return f"{actor}@{ray.get_runtime_context().get_node_id()}"


def shutdown_grace_s() -> float:
    """The seconds between the order to stop and the moment when Serve kills the calling replica.

    The value is the one at the replica's start: Serve passes on no later change.
    """
    config = serve.get_replica_context()._deployment_config
    return float(config.graceful_shutdown_timeout_s)


async def watch_node_drain(drain: Callable[[float | None], object]) -> None:
    """Call ``drain`` when this node drains (``ray drain-node``), with the seconds it has left.

    ``drain`` gets None while the node has no deadline, and is called again at every poll, since a
    deadline may be set later. Runs until it is cancelled; a Ray that does not answer is skipped.
    """
    node = ray.get_runtime_context().get_node_id()
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    logged = False
    while True:
        draining = await asyncio.to_thread(draining_nodes, client)
        if node in draining:
            seconds_left = draining[node] / 1000 - time.time() if draining[node] else None
            if not logged:
                log.warning("node_is_drained", seconds_left=seconds_left)
            logged = True
            drain(seconds_left)
        await asyncio.sleep(POLL_INTERVAL_S)


async def crashed(replica: str) -> bool:
    """Whether the process of ``replica`` has ended while its node is alive.

    A replica that is paused or cut off has not crashed. If the whole node ended, none of the jobs
    on it was the cause.
    """
    actor, _, node = replica.partition("@")
    return await asyncio.to_thread(_crashed, actor, node)


def _crashed(actor: str, node: str) -> bool:
    try:
        ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return any(
            entry["NodeID"] == node and entry["Alive"] and _listens(entry) for entry in ray.nodes()
        )
    return False


def _listens(node: Mapping[str, Any]) -> bool:
    """Whether the node's raylet takes connections: Ray calls a dead node alive for some 15 s."""
    address = (node["NodeManagerAddress"], node["NodeManagerPort"])
    try:
        socket.create_connection(address, timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
