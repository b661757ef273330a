"""The five ways to hold a pipeline in memory, each adding to the one before, fastest first.

``models.memory.choose_plan`` chooses one of them for a budget.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from enum import StrEnum
from itertools import chain
from typing import Any

import torch

from models.memory.component_offload import ComponentOffload
from models.memory.usage import return_large_blocks_to_os
from models.scratch import ScratchFolder
from models.weights.quantize import Quantization, quantize


class MemoryPlan(StrEnum):
    """How a model is held, from the fastest to the one that needs least."""

    RESIDENT = "resident"  # everything on the device, at the profile's precision
    SLICED = "sliced"  # + the VAE works on one picture and one tile at a time
    QUANTIZED = "quantized"  # + denoiser and text encoders at 8 or 4 bits
    MODEL_OFFLOAD = "model_offload"  # + only the component at work is on the device
    GROUP_OFFLOAD = "group_offload"  # + only the layer at work is (on a CPU: the rest is on disk)


class PlanNotAvailable(ValueError):
    """This device cannot hold a model that way; choose from ``available_plans(device)``."""


def available_plans(device: str, quantization: Quantization = "int8") -> tuple[MemoryPlan, ...]:
    """The plans that change something on ``device`` (``"cpu"``, ``"cuda"``, ``"cuda:1"``).

    A CPU has one memory: moving whole components out of it leads nowhere, so it has no
    ``MODEL_OFFLOAD``. Without quantization there is no ``QUANTIZED``, and the plans after it keep
    the weights' precision.
    """
    missing = set()
    if device == "cpu":
        missing.add(MemoryPlan.MODEL_OFFLOAD)
    if quantization == "none":
        missing.add(MemoryPlan.QUANTIZED)
    return tuple(plan for plan in MemoryPlan if plan not in missing)


def pipeline_components(model: Any) -> dict[str, Any]:
    """The torch modules of ``model`` by name.

    A pipeline's have their diffusers names, a mapping's its own; a single one is called "model".
    """

    if isinstance(model, torch.nn.Module):
        return {"model": model}
    components: Mapping[str, Any] = model if isinstance(model, Mapping) else model.components
    return {name: part for name, part in components.items() if isinstance(part, torch.nn.Module)}


def is_vae(name: str) -> bool:
    return name.startswith(("vae", "vqvae", "vqgan"))


def is_denoiser(name: str) -> bool:
    return name.startswith(("unet", "transformer", "controlnet", "prior", "model"))


def is_quantized(name: str) -> bool:
    """Whether ``QUANTIZED`` and later plans quantize the component of that name.

    The VAE is small and its errors are seen at once; image encoders decide a likeness.
    """
    return is_denoiser(name) or name.startswith("text_encoder")


def apply_plan(
    model: Any,
    plan: MemoryPlan,
    device: str,
    quantization: Quantization = "int8",
    offload: ComponentOffload | None = None,
) -> ComponentOffload | None:
    """Put ``model`` on ``device`` the way ``plan`` says.

    ``model`` is a diffusers pipeline, a torch module or torch modules by name (see
    :func:`pipeline_components`), just loaded: on the CPU, with no plan applied before (a change of
    plan loads it anew). It is changed in place. Returned is by what its components take turns,
    under ``MODEL_OFFLOAD``: ``offload``, if they join a pipeline's.

    Raises:
        PlanNotAvailable: not on this device, see :func:`available_plans`; or ``MODEL_OFFLOAD`` of
            what is no pipeline: nothing says when its modules take turns.
        torch.OutOfMemoryError: the device has no room for it.
    """
    if plan not in available_plans(device, quantization):
        raise PlanNotAvailable(f"{plan.value} is not available on {device}")
    joins = offload is not None or hasattr(model, "_exclude_from_cpu_offload")
    if plan is MemoryPlan.MODEL_OFFLOAD and not joins:
        raise PlanNotAvailable(f"{plan.value} is for pipelines, not for {type(model).__name__}")
    order = list(MemoryPlan)
    reached = {other for other in MemoryPlan if order.index(other) <= order.index(plan)}
    if MemoryPlan.SLICED in reached:
        _enable_slicing(model)
    if MemoryPlan.QUANTIZED in reached:
        if device == "cpu":
            return_large_blocks_to_os()
        for name, part in pipeline_components(model).items():
            if is_quantized(name) and quantize(part, quantization, device) and device == "cpu":
                _leave_file(part)
    if plan is MemoryPlan.GROUP_OFFLOAD:
        _enable_group_offload(model, device)
    elif plan is MemoryPlan.MODEL_OFFLOAD:
        return _enable_model_offload(model, device, offload or ComponentOffload(device))
    elif isinstance(model, Mapping):
        for part in model.values():
            part.to(device)
    else:
        model.to(device)
    return None


def execution_device(module: Any) -> torch.device:
    """Where ``module`` computes, whatever plan holds it.

    Between two calls the weights of an offloaded module are elsewhere, so ``module.device`` would
    not say.
    """
    from diffusers.hooks import HookRegistry

    for layer in module.modules():
        registry: HookRegistry | None = getattr(layer, "_diffusers_hook", None)
        hook = registry.get_hook("group_offloading") if registry is not None else None
        if hook is not None:
            return torch.device(hook.config.onload_device)
    return next(chain(module.parameters(), module.buffers())).device


def _leave_file(module: Any) -> None:
    """Copy what was not quantized out of the file that the weights were read from.

    One weight that is a window into the file keeps all of it in memory.
    """
    for weight in chain(module.parameters(), module.buffers()):
        weight.data = weight.data.clone()


def _enable_slicing(model: Any) -> None:
    for name, part in pipeline_components(model).items():
        if is_vae(name):
            _slice_vae(part)
    _slice_attention(model)


def _slice_vae(vae: Any) -> None:
    # Every VAE of diffusers has the methods; those without the switch raise.
    if hasattr(vae, "use_slicing"):
        vae.enable_slicing()
    if hasattr(vae, "use_tiling"):
        if type(vae).__name__ == "AutoencoderTiny":
            # diffusers takes 8 pixels a latent for granted here; ours has 4, and its tiles broke.
            vae.spatial_scale_factor = 2 ** (len(vae.config.encoder_block_out_channels) - 1)
            vae.tile_latent_min_size = vae.tile_sample_min_size // vae.spatial_scale_factor
        vae.enable_tiling()


def _slice_attention(model: Any) -> None:
    """Slice the attention that would build its whole score matrix, and no other.

    PyTorch's own kernel needs less memory than slices do, and diffusers' slicing would put its
    processor in the place of that kernel's and of an IP adapter's.
    """
    from diffusers.models.attention_processor import AttnAddedKVProcessor, AttnProcessor

    plain = (AttnProcessor, AttnAddedKVProcessor)
    for part in pipeline_components(model).values():
        processors = getattr(part, "attn_processors", {}).values()
        if processors and all(isinstance(p, plain) for p in processors):
            part.set_attention_slice("max")


def _enable_model_offload(model: Any, device: str, offload: ComponentOffload) -> ComponentOffload:
    # Those are used in other ways than by calling them. The safety checker is called; diffusers
    # excludes it for the sake of another kind of offload.
    never = set(getattr(model, "_exclude_from_cpu_offload", ())) - {"safety_checker"}
    for name, part in pipeline_components(model).items():
        if name in never:
            part.to(device)
        else:
            offload.attach(name, part)
    return offload


def _enable_group_offload(model: Any, device: str) -> None:
    from diffusers.hooks import apply_group_offloading

    options: dict[str, Any] = {"offload_type": "leaf_level", "low_cpu_mem_usage": True}
    on_disk = device == "cpu"
    for name, part in pipeline_components(model).items():
        if on_disk and (is_vae(name) or name == "shap_e_renderer"):
            # Read from outside a forward pass, or written by another part: what is on disk would
            # come too late, or be stale.
            part.to(device)
            continue
        if on_disk:
            _untie_weights(part)
            # A folder each: files are named after layers, and two components have layers
            # of one name.
            options["offload_to_disk_path"] = _offload_folder(part)
        # Prefetching on a stream learns the order of the layers from the first pass. That of a
        # VAE changes between encoding and decoding, so it goes without.
        streams = device != "cpu" and is_denoiser(name)
        apply_group_offloading(
            part,
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            use_stream=streams,
            **options,
        )


def _untie_weights(module: Any) -> None:
    """Give every layer weights of its own (a text encoder's embedding may have two owners).

    Layers go to disk one by one: the second owner of a weight would save what the first left.
    """

    seen: set[int] = set()
    for layer in module.modules():
        for key, weight in layer.named_parameters(recurse=False):
            if id(weight) in seen:
                setattr(
                    layer, key, torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
                )
            seen.add(id(getattr(layer, key)))


def _offload_folder(module: Any) -> str:
    """A folder on disk that goes when ``module`` goes."""
    folder = ScratchFolder("weights")
    weakref.finalize(module, folder.remove)
    return str(folder.path)
