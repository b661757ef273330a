"""How much memory the weights of a loaded model take, to hold against what its profile says."""

from __future__ import annotations

from typing import Any

from models.memory.plans import pipeline_components


def measure_components(model: Any) -> dict[str, int]:
    """The bytes of the loaded parameters and buffers, by component.

    A weight that two components share counts with the first.
    """
    seen: set[int] = set()
    sizes = {}
    for name, part in pipeline_components(model).items():
        sizes[name] = 0
        for tensor in (*part.parameters(), *part.buffers()):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                sizes[name] += tensor.numel() * tensor.element_size()
    return sizes
