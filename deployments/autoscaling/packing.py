"""Whether replicas fit onto nodes: CPUs and shares of GPUs, packed by first fit."""

from __future__ import annotations

import math
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
    """What a replica claims: CPU cores, and its share of one GPU (above 1, whole GPUs)."""

    cpus: float
    gpu_share: float


def pack(replicas: Iterable[ReplicaResources], nodes: Sequence[NodeResources]) -> bool:
    """Whether the replicas fit onto the nodes, by first fit with the largest shares first.

    Nodes with few GPUs are filled first, so that what needs no GPU stays off the nodes that have
    many. A share of more than 1 takes whole GPUs of one node. Ray may have placed running replicas
    less well; then a replica waits until one of them goes.
    """
    free = [_FreeResources(node) for node in sorted(nodes, key=lambda node: node.gpus)]
    largest_first = sorted(
        replicas, key=lambda replica: (replica.gpu_share, replica.cpus), reverse=True
    )
    return all(any(node.take(replica) for node in free) for replica in largest_first)


def count_gpus(replicas: Iterable[ReplicaResources]) -> int:
    """How many GPUs the replicas need at least, on nodes with one GPU for each share up to 1."""
    gpus: list[float] = []
    whole = 0
    for share in sorted((replica.gpu_share for replica in replicas), reverse=True):
        if share > 1:
            whole += math.ceil(share)
        elif share > EPSILON and not _take_share(gpus, share):
            gpus.append(1.0 - share)
    return whole + len(gpus)


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
        if replica.cpus > self._cpus + EPSILON or not self._take_gpu(replica.gpu_share):
            return False
        self._cpus -= replica.cpus
        return True

    def _take_gpu(self, share: float) -> bool:
        if share <= 1:
            return share < EPSILON or _take_share(self._gpus, share)
        whole = math.ceil(share - EPSILON)
        if self._gpus.count(1.0) < whole:
            return False
        for _ in range(whole):
            self._gpus[self._gpus.index(1.0)] = 0.0
        return True


def _take_share(gpus: list[float], share: float) -> bool:
    """Take the share of the first GPU that has room for it."""
    for index, free in enumerate(gpus):
        if share <= free + EPSILON:
            gpus[index] = free - share
            return True
    return False
