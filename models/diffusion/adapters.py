"""Adapters (LoRA, IP-Adapter) on copies of a pipeline that share its weights.

Adapters are modules inside the network they adapt. Switching them on one shared network would make
every request wait for the switch. An adapted copy is a second tree of modules over the same
tensors: requests with other adapters form a batching group of their own, and nothing is switched.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

from models.diffusion.clone import clone_pipeline
from models.diffusion.requests import Lora
from models.profiles.load import Model


def share_weights_copy(module: Any) -> Any:
    """Copy the module tree of ``module``; the copy shares its parameters and buffers."""
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)


def denoiser_name(pipeline: Any) -> str:
    """Return the pipeline's denoiser attribute: ``unet`` or ``transformer``."""
    return "unet" if getattr(pipeline, "unet", None) is not None else "transformer"


def adapted_copy(pipeline: Any, kind: Any = None) -> Any:
    """Copy ``pipeline`` with a denoiser that can be adapted without changing the original."""
    made = clone_pipeline(pipeline, kind)
    name = denoiser_name(made)
    setattr(made, name, share_weights_copy(getattr(made, name)))
    return made


def image_encoder_of(adapter: Model) -> Model:
    """The entry of an IP-Adapter's picture encoder.

    It lies beside the adapter in ``image_encoder``, or where the adapter's ``folders`` say.
    """
    beside = f"{adapter.subfolder}/image_encoder".lstrip("/")
    folder = adapter.folders.get("image_encoder", beside)
    return adapter.model_copy(update={"subfolder": folder})


def with_ip_adapter(pipeline: Any, adapter: Model, encoder: Any, scale: float = 1.0) -> Any:
    """A view that takes pictures as prompts (Ye et al. 2023, arXiv:2308.06721).

    ``encoder`` is the network of :func:`image_encoder_of`, on the pipeline's device.
    """
    made = adapted_copy(pipeline)
    made.register_modules(image_encoder=encoder)
    made.load_ip_adapter(
        adapter.source,
        subfolder=adapter.subfolder,
        weight_name=adapter.weight_name,
        image_encoder_folder=None,
        revision=adapter.revision,
        local_files_only=True,
    )
    made.set_ip_adapter_scale(scale)
    return made


def with_loras(pipeline: Any, loras: tuple[Lora, ...]) -> Any:
    """Copy ``pipeline`` with LoRAs (Hu et al. 2021, arXiv:2106.09685), each at its weight."""
    made = adapted_copy(pipeline)
    for encoder in ("text_encoder", "text_encoder_2"):
        if getattr(made, encoder, None) is not None:
            setattr(made, encoder, share_weights_copy(getattr(made, encoder)))
    names = []
    for index, lora in enumerate(loras):
        names.append(f"lora{index}")
        made.load_lora_weights(
            lora.source,
            subfolder=lora.subfolder or None,
            weight_name=lora.weight_name,
            revision=lora.revision,
            adapter_name=names[-1],
            local_files_only=True,
            use_safetensors=True,
        )
    made.set_adapters(names, [lora.weight for lora in loras])
    return made
