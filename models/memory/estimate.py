"""Estimate the memory that a model needs under each plan, in MB of 2**20 bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from models.memory.component_offload import STAYING
from models.memory.plans import MemoryPlan, is_quantized
from models.profiles.load import MemoryNeed
from models.weights.quantize import Quantization

# What is left of a component at 8 and at 4 bits, when it had 16, and of a text encoder beside its
# embeddings: 0.50 and 0.27 on the shapes of SDXL, FLUX.2 [klein] and Wan, rounded up. A text
# encoder whose profile does not state its embeddings keeps a third, as CLIP-L does. A component of
# 32 bits shrinks further; the estimate stays on the safe side.
QUANTIZED_FRACTION: dict[Quantization, tuple[float, float]] = {
    "none": (1.0, 1.0),
    "int8": (0.51, 0.70),  # denoiser, text encoder
    "nf4": (0.28, 0.55),
}


# The largest layer, turned back into the working precision while it runs: 3.4 % of SD 1.5's UNet.
UNPACKED_LAYER_FRACTION = 0.04


# Leaf-level offload holds one layer (with prefetch two). The largest leaf is an embedding or a
# convolution: 31 % of CLIP-L, 3.4 % of a UNet.
LARGEST_DENOISER_LEAF, LARGEST_OTHER_LEAF = 0.08, 0.35


# Parts of the denoiser that profiles list with the adapter they come from.
ADAPTERS = ("adapter", "motion_adapter")


# Of a language model, each one leaf: as large as a tenth of the weights, and never
# quantized.
WHOLE_LEAVES = ("embed_tokens", "lm_head")


def weights_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the memory in MB that the model keeps between requests under ``plan``.

    ===============  ======================================================
    resident         sum(components)
    sliced           sum(components)
    quantized        sum(shrunk(c) for c in components)
    offload plans    0: the weights wait in the host's memory, or on disk
    ===============  ======================================================
    """
    if plan in (MemoryPlan.RESIDENT, MemoryPlan.SLICED):
        return need.weights_mb
    if plan is MemoryPlan.QUANTIZED:
        return math.ceil(sum(_quantized_size(need, quantization).values()))
    return 0


def activations_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the memory in MB that one request needs beyond :func:`weights_mb` under ``plan``.

    ===============  ======================================================
    resident         activations
    sliced           min(activations, activations_sliced)
    quantized        sliced + 4 % of the largest quantized component (a layer, unpacked)
    model_offload    quantized + max(shrunk(c)) + what stays beside the denoiser: VAE, ControlNet,
                     adapters; a text encoder without the activations
    group_offload    quantized + max(8 % of a shrunk denoiser, 35 % of any other component);
                     or all of a word embedding if that is more, without a layer unpacked
    ===============  ======================================================
    """
    if plan is MemoryPlan.RESIDENT:
        return need.activations
    running, unpacked = float(min(need.activations, need.activations_sliced)), 0.0
    if plan is MemoryPlan.SLICED:
        return round(running)
    shrunk = _quantized_size(need, quantization)
    if quantization != "none":
        packed = [size for name, size in need.components.items() if is_quantized(_part(name))]
        unpacked = UNPACKED_LAYER_FRACTION * max(packed, default=0)
        running += unpacked
    present = 0.0  # of the weights, while the component at work is
    if plan is MemoryPlan.MODEL_OFFLOAD:
        staying = {name for name in shrunk if _part(name).startswith((*STAYING, *ADAPTERS))}
        beside = sum(shrunk[name] for name in staying)
        held = {name: size + beside for name, size in shrunk.items() if name not in staying}
        present = _at_once(held, running) if held else beside
    if plan is MemoryPlan.GROUP_OFFLOAD:
        leaves = {name: _largest_leaf(need, name, size) for name, size in shrunk.items()}
        # A word embedding takes a turn by itself, when no layer is unpacked.
        for name in leaves:
            if _part(name) in WHOLE_LEAVES:
                leaves[name] -= unpacked
        present = _at_once(leaves, running)
    # Each by itself, so that no plan is a megabyte above the one before. A part of a megabyte is
    # one: what is held of a small model is not nothing.
    return round(running) + math.ceil(present)


def estimate_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the peak of one request under ``plan`` in MB.

    It is the sum of :func:`weights_mb` and :func:`activations_mb`.
    """
    return weights_mb(need, plan, quantization) + activations_mb(need, plan, quantization)


def _at_once(held: Mapping[str, float], running: float) -> float:
    """The most that one component holds beside what runs, of ``held`` MB by component.

    A text encoder is done before the denoiser's activations are there.
    """
    texts = {name for name in held if _part(name).startswith("text_encoder")}
    others = max((size for name, size in held.items() if name not in texts), default=0.0)
    alone = max((held[name] for name in texts), default=0.0)
    return max(others, alone - round(running))


def _quantized_size(need: MemoryNeed, quantization: Quantization) -> dict[str, float]:
    denoiser, text_encoder = QUANTIZED_FRACTION[quantization]
    sizes = {}
    for name, size in need.components.items():
        embedding = need.embeddings.get(name, 0)
        text = _part(name).startswith("text_encoder")
        fraction = text_encoder if text and not embedding else denoiser
        packed = is_quantized(_part(name))
        sizes[name] = (size - embedding) * fraction + embedding if packed else float(size)
    return sizes


def _part(name: str) -> str:
    """The diffusers name of a component, which stands behind its model's if that is an adapter."""
    return name.rpartition(".")[2]


def _largest_leaf(need: MemoryNeed, name: str, shrunk: float) -> float:
    if embedding := need.embeddings.get(name, 0):
        return max(float(embedding), LARGEST_DENOISER_LEAF * (shrunk - embedding))
    part = _part(name)
    if part in WHOLE_LEAVES:
        return shrunk
    text = part.startswith("text_encoder")
    denoiser = is_quantized(part) and not text
    return shrunk * (LARGEST_DENOISER_LEAF if denoiser else LARGEST_OTHER_LEAF)
