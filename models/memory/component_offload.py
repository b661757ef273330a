"""Model offload: the components of a pipeline take turns on the device.

diffusers' ``enable_model_cpu_offload`` does the same for one pipeline object. Here several objects
share the weights: one for each task, and one with each set of adapters. What is fetched is a copy,
and the host keeps its own, so that nothing is copied back and all objects share one copy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import torch

# What is used between the steps of a denoiser (control, previews, masks): it stays beside the
# denoiser for the rest of the request. To take turns they would change places at every step.
STAYING = ("vae", "vqvae", "vqgan", "controlnet")


class ComponentOffload:
    """Fetches each component before it computes, and drops the one that computed before.

    It is the ``_hf_hook`` of each, by which diffusers finds the device a pipeline computes on, and
    which the autoencoders call before they encode or decode. One request at a time may use the
    components, or they would change places at every step.
    """

    def __init__(self, device: str) -> None:
        self.execution_device = torch.device(device)  # diffusers reads this name
        self._lock = threading.Lock()
        self._staying: WeakSet[torch.nn.Module] = WeakSet()
        self._fetched: dict[torch.nn.Module, list[_Place]] = {}

    def attach(self, name: str, module: torch.nn.Module) -> None:
        """Let ``module``, whose weights are on the host, take turns; ``name`` is diffusers'."""
        if name.startswith(STAYING):
            self._staying.add(module)
        module._hf_hook = self  # type: ignore[assignment]
        module.register_forward_pre_hook(self.pre_forward)

    def pre_forward(self, module: torch.nn.Module, *_: Any) -> None:
        """Have the weights of ``module`` on the device; called before it computes."""
        with self._lock:
            if module in self._fetched:
                return
            if module not in self._staying:
                for other in [other for other in self._fetched if other not in self._staying]:
                    self._drop(other)
            self._fetch(module)

    def release(self) -> None:
        """Drop everything that was fetched; called when no request uses the components."""
        with self._lock:
            for module in list(self._fetched):
                self._drop(module)

    def _fetch(self, module: torch.nn.Module) -> None:
        # Registered first, so that a fetch that runs out of memory is dropped with the rest.
        places = self._fetched[module] = []
        moved: dict[int, torch.Tensor] = {}  # a weight may have two owners
        for place in _places(module):
            places.append(place)
            table, name, host = place
            if id(host) not in moved:
                on_device = host.detach().to(self.execution_device)
                moved[id(host)] = (
                    torch.nn.Parameter(on_device, requires_grad=False)
                    if isinstance(host, torch.nn.Parameter)
                    else on_device
                )
            table[name] = moved[id(host)]

    def _drop(self, module: torch.nn.Module) -> None:
        for table, name, host in self._fetched.pop(module):
            table[name] = host

    def __deepcopy__(self, _: Any) -> ComponentOffload:
        # A copy of a module that shares its weights takes turns with the original.
        return self


# A table of a layer (its parameters, or its buffers), a name in it, and the host's tensor.
_Place = tuple[dict[str, Any], str, torch.Tensor]


def _places(module: torch.nn.Module) -> Iterator[_Place]:
    for layer in module.modules():
        for table in (layer._parameters, layer._buffers):
            for name, tensor in table.items():
                if tensor is not None:
                    yield table, name, tensor
