"""Check the graph of a diagram: its nodes by their ids, and its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.formulas.errors import GraphError


def number_nodes(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the place of each of ``nodes`` by its id.

    Raises:
        GraphError: an id is used twice, an edge names a missing one or leads to itself.
    """
    numbers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node in numbers:
            raise GraphError(f"two nodes have the id {node!r}: give each its own")
        numbers[node] = index
    for source, target in edges:
        for end in (source, target):
            if end not in numbers:
                known = ", ".join(list(numbers)[:8])
                raise GraphError(f"an edge names {end!r}, which is no node's id: there are {known}")
        if source == target:
            raise GraphError(f"an edge leads from {source!r} to itself: use two nodes")
    return numbers
