"""Naming a replica so that somebody else can ask Ray what became of it."""

from __future__ import annotations

import asyncio

import ray
from ray import serve

NAMESPACE = "serve"  # in which Serve keeps its actors


def this_replica() -> str:
    """The name of the replica this is called in: its actor's, and the node's it runs on."""
    actor = serve.get_replica_context().replica_id.to_full_id_str()
    return f"{actor}@{ray.get_runtime_context().get_node_id()}"


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
