"""Ask Ray about the nodes of the cluster: the draining ones, and what the others have."""

from __future__ import annotations

from functools import lru_cache

import ray
import structlog
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from deployments.autoscaling.packing import NodeResources

TIMEOUT_S = 5.0


def draining_nodes(client: GcsClient) -> dict[str, int]:
    """The draining nodes (``ray drain-node``) by id, with their deadlines.

    A deadline is in milliseconds of the wall clock, and 0 for none. Empty if Ray does not answer.
    """
    try:
        deadlines: dict[str, int] = client.get_draining_nodes(timeout=TIMEOUT_S)
    except Exception as error:
        structlog.get_logger(__name__).debug("nodes_not_looked_at", error=type(error).__name__)
        return {}
    return deadlines


def available_nodes() -> list[NodeResources]:
    """The resources of each node that is alive and not draining."""
    deadlines = draining_nodes(_client(ray.get_runtime_context().gcs_address))
    return [
        NodeResources(node["Resources"].get("CPU", 0.0), int(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in deadlines
    ]


@lru_cache(maxsize=1)
def _client(address: str) -> GcsClient:
    """Cached: opening a client takes ten times as long as a request."""
    return GcsClient(address=address)
