"""What fits onto nodes: shares of whole GPUs, and CPUs."""

import pytest

from deployments.autoscaling.packing import (
    NodeResources,
    ReplicaResources,
    limit_gpus,
    pack,
)

SHARES = [
    ([0.5, 0.5], 1, True),
    ([0.6, 0.6, 0.6], 2, False),  # 1.8 of 2, and yet no place for the third
    ([0.6, 0.4, 0.6, 0.4], 2, True),
    ([0.52, 0.52], 1, False),
    ([0.52, *[0.08] * 6], 1, True),
    ([0.52, *[0.08] * 7], 1, False),
    ([0.1] * 10, 1, True),
    ([0.0] * 9, 0, True),
    ([0.1], 0, False),
]


def replicas(*shares: float, cpus: float = 0.5) -> list[ReplicaResources]:
    return [ReplicaResources(cpus, share) for share in shares]


@pytest.mark.parametrize(("shares", "gpus", "fits"), SHARES)
def test_shares_are_packed_onto_whole_gpus(shares: list[float], gpus: int, fits: bool) -> None:
    assert pack(replicas(*shares), [NodeResources(8, gpus)]) is fits


def test_a_node_without_free_cpus_takes_nothing() -> None:
    assert not pack(replicas(0.1, 0.1, 0.1), [NodeResources(1.0, 1)])
    assert pack(replicas(0.1, 0.1, 0.1), [NodeResources(1.0, 1), NodeResources(0.5, 1)])
    assert not pack(replicas(0.0, 0.0), [NodeResources(0.9, 0)])


def test_what_needs_no_gpu_leaves_the_nodes_with_gpus_to_the_others() -> None:
    nodes = [NodeResources(1.0, 2), NodeResources(1.0, 0)]
    assert pack(replicas(1.0, 1.0, 0.0, 0.0), nodes)


def test_gpus_above_the_limit_are_not_used_and_the_cpus_are() -> None:
    nodes = [NodeResources(8, 0), NodeResources(4, 2), NodeResources(4, 2)]
    assert limit_gpus(nodes, 3) == [NodeResources(8, 0), NodeResources(4, 2), NodeResources(4, 1)]
