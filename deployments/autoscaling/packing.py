"""Whether replicas fit onto nodes: CPUs and shares of GPUs, packed by first fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EPSILON = 1e-6


@dataclass(frozen=True)
class NodeResources:
    """What a node has in all: CPU cores, and whole GPUs."""

    cpus: float
    gpus: int


@dataclass(frozen=True)
class ReplicaResources:
    """What a replica claims: CPU cores, and its share of one GPU (0 to 1)."""

    cpus: float
    gpu_share: float


def pack(replicas: Iterable[ReplicaResources], nodes: Sequence[NodeResources]) -> bool:
    """Whether the replicas fit onto the nodes, by first fit with the largest shares first.

    Nodes with few GPUs are filled first, so that what needs no GPU stays off the nodes that have
    many. Ray may have placed running replicas less well; then a replica waits until one of them
    goes.
    """
    free = [_FreeResources(node) for node in sorted(nodes, key=lambda node: node.gpus)]
    largest_first = sorted(
        replicas, key=lambda replica: (replica.gpu_share, replica.cpus), reverse=True
    )
    return all(any(node.take(replica) for node in free) for replica in largest_first)


def limit_gpus(nodes: Iterable[NodeResources], most: int) -> list[NodeResources]:
    """The same nodes with at most ``most`` GPUs in all."""
    limited = []
    for node in nodes:
        gpus = min(node.gpus, most)
        most -= gpus
        limited.append(NodeResources(node.cpus, gpus))
    return limited


class _FreeResources:
    """What is still free on one node."""

    def __init__(self, node: NodeResources) -> None:
        self._cpus, self._gpus = node.cpus, [1.0] * node.gpus

    def take(self, replica: ReplicaResources) -> bool:
        """Claim what the replica needs; returns False, and claims nothing, if it does not fit."""
        if replica.cpus > self._cpus + EPSILON or not self._take_share(replica.gpu_share):
            return False
        self._cpus -= replica.cpus
        return True

    def _take_share(self, share: float) -> bool:
        """Take the share of the first GPU that has room for it."""
        if share < EPSILON:
            return True
        for index, free in enumerate(self._gpus):
            if share <= free + EPSILON:
                self._gpus[index] = free - share
                return True
        return False
