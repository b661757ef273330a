"""What Ray knows of the cluster's machines: which of them are to go, and what the others have."""

from __future__ import annotations

from functools import lru_cache

import ray
import structlog
from ray._raylet import GcsClient  # type: ignore[attr-defined]

TIMEOUT_S = 5.0


def draining_nodes(client: GcsClient) -> dict[str, int]:
    """The nodes that are to go (``ray drain-node``), by id: when, in milliseconds of the wall
    clock, 0 where there is no deadline. Empty while Ray cannot be asked."""
    try:
        found: dict[str, int] = client.get_draining_nodes(timeout=TIMEOUT_S)
    except Exception as error:
        structlog.get_logger(__name__).debug("nodes_not_looked_at", error=type(error).__name__)
        return {}
    return found


def available_gpus() -> int:
    """The GPUs of the nodes that live and are not to go: what may be counted on."""
    going = draining_nodes(_client(ray.get_runtime_context().gcs_address))
    staying = (one for one in ray.nodes() if one["Alive"] and one["NodeID"] not in going)
    return int(sum(one["Resources"].get("GPU", 0) for one in staying))


@lru_cache(maxsize=1)
def _client(address: str) -> GcsClient:
    """Kept: making one takes ten times as long as asking it."""
    return GcsClient(address=address)
