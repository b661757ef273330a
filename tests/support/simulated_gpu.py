"""What stands for a card where there is only a CPU: the weights that are in memory at one time.

Under ``GROUP_OFFLOAD`` a CPU keeps on disk the layers that do not compute, as a card's are kept in
the host's memory. So a layer is on the card from the moment it is fetched until it is put back, and
what belongs to no group of layers is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from diffusers.hooks.group_offloading import ModuleGroup

MB = 2**20


class Card:
    """``peak_mb`` is the most that one network's weights took at one time."""

    def __init__(self, network: torch.nn.Module) -> None:
        in_groups = {id(t) for group in _groups_of(network) for t in _tensors(group)}
        tensors = {id(t): t for t in chain(network.parameters(), network.buffers())}
        self._always = sum(t.nbytes for key, t in tensors.items() if key not in in_groups)
        self._fetched: dict[int, int] = {}
        self.peak_mb = self._always / MB

    def fetched(self, group: ModuleGroup) -> None:
        self._fetched[id(group)] = sum(tensor.nbytes for tensor in _tensors(group))
        self.peak_mb = max(self.peak_mb, (self._always + sum(self._fetched.values())) / MB)

    def put_back(self, group: ModuleGroup) -> None:
        self._fetched.pop(id(group), None)


@contextmanager
def card(network: torch.nn.Module) -> Iterator[Card]:
    """Watches ``network``, which a plan already holds, while the block runs."""
    watched = Card(network)
    fetch, put_back = ModuleGroup.onload_, ModuleGroup.offload_

    def onload_(group: ModuleGroup) -> None:
        fetch(group)
        watched.fetched(group)

    def offload_(group: ModuleGroup) -> None:
        put_back(group)
        watched.put_back(group)

    ModuleGroup.onload_, ModuleGroup.offload_ = onload_, offload_
    try:
        yield watched
    finally:
        ModuleGroup.onload_, ModuleGroup.offload_ = fetch, put_back


def _groups_of(network: torch.nn.Module) -> Iterator[ModuleGroup]:
    for module in network.modules():
        registry: Any = getattr(module, "_diffusers_hook", None)
        hook = registry.get_hook("group_offloading") if registry is not None else None
        if hook is not None:
            yield hook.group


def _tensors(group: ModuleGroup) -> list[torch.Tensor]:
    of_modules = chain.from_iterable(
        chain(module.parameters(), module.buffers()) for module in group.modules
    )
    tensors = {id(t): t for t in chain(of_modules, group.parameters, group.buffers)}
    return list(tensors.values())
