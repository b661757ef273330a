"""Quantize a loaded model's weights to 8 or 4 bits, in plain PyTorch and on any device.

Only weights are quantized; each layer dequantizes its own to the working precision during its
forward pass. ``int8`` is symmetric per output channel (the weight half of LLM.int8,
arXiv:2208.07339); ``nf4`` is the 4-bit normal float of QLoRA (arXiv:2305.14314) in blocks of 64.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

Quantization = Literal["none", "int8", "nf4"]

# The 16 levels of QLoRA, appendix E: quantiles of the normal distribution, zero among them.
NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
NF4_BLOCK = 64
# Quantizing smaller layers saves too little memory for its error.
MIN_WEIGHTS = 4096


def quantize(module: Any, kind: Quantization, device: str = "cpu") -> int:
    """Quantize every large Linear and convolution of ``module`` in place; how many there were.

    Each weight is packed on ``device`` by itself, and its bits go back to where it was: a GPU packs
    in seconds what takes a CPU minutes, and has room for one layer.

    Embeddings, norms and biases keep their precision, and so does the head of a language model:
    its errors are errors of the words, and it often shares its weight with the embedding.

    Meant for a model on the CPU, before it is moved, so that the full weights never reach the card.
    Layers quantized before are left alone.
    """
    if kind == "none":
        return 0
    pack = _pack_int8 if kind == "int8" else _pack_nf4
    head = module.get_output_embeddings() if hasattr(module, "get_output_embeddings") else None
    count = 0
    for layer in module.modules():
        target = _quantized_class(type(layer), kind)
        if target is None or layer is head or layer.weight.numel() < MIN_WEIGHTS:
            continue
        weight = layer.weight.detach()
        del layer._parameters["weight"]
        layer.packed_shape = tuple(weight.shape)
        for name, tensor in pack(weight.to(device)).items():
            # Parameters: group offloading on a stream never takes a layer's buffers off the card.
            kept = nn.Parameter(tensor.to(weight.device), requires_grad=False)
            layer.register_parameter(name, kept)
        layer.__class__ = target
        count += 1
    return count


def _pack_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:

    rows = weight.flatten(1).float()
    scale = rows.abs().amax(1, keepdim=True).clamp_(min=1e-12) / 127
    # No view: one would keep its base in memory when a plan moves the weight to disk.
    packed = (rows / scale).round_().view(weight.shape).to(torch.int8)
    return {"packed": packed, "scale": scale.to(weight.dtype).flatten()}


def _unpack_int8(layer: Any) -> torch.Tensor:
    unpacked: torch.Tensor = layer.packed.to(layer.scale.dtype)
    # In place: two copies of a layer would be the peak of a small card.
    unpacked *= layer.scale.view(-1, *[1] * (layer.packed.dim() - 1))
    return unpacked


def _pack_nf4(weight: torch.Tensor) -> dict[str, torch.Tensor]:

    flat = weight.flatten().float()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % NF4_BLOCK)).view(-1, NF4_BLOCK)
    scale = blocks.abs().amax(1, keepdim=True).clamp_(min=1e-12)
    levels = torch.tensor(NF4_LEVELS, device=weight.device)
    # The index of the nearest level is the number of midpoints below the value.
    index = torch.bucketize(blocks / scale, (levels[1:] + levels[:-1]) / 2).to(torch.uint8)
    pairs = index.view(-1, 2)
    high, low = levels.repeat_interleave(16), levels.repeat(16)
    return {
        "packed": pairs[:, 0] << 4 | pairs[:, 1],
        "scale": scale.to(weight.dtype).flatten(),
        "levels": torch.stack((high, low), 1).to(weight.dtype),  # of each byte, the two levels
    }


def _unpack_nf4(layer: Any) -> torch.Tensor:
    blocks = torch.nn.functional.embedding(layer.packed.int(), layer.levels).view(-1, NF4_BLOCK)
    blocks *= layer.scale[:, None]  # in place, as for 8 bits
    flat = blocks.flatten()
    size = 1
    for side in layer.packed_shape:
        size *= side
    return flat[:size].view(layer.packed_shape)


_classes: dict[tuple[type, str], type] = {}


def _quantized_class(kind: type, quantization: str) -> type | None:
    """Return a subclass of ``kind`` that dequantizes ``weight`` on access; ``None`` for others."""

    # Subclasses bring their own forward, which may not read its weight only once.
    if kind not in (nn.Linear, nn.Conv2d, nn.Conv1d, nn.ConvTranspose1d):
        return None
    key = (kind, quantization)
    if key not in _classes:
        unpack = _unpack_int8 if quantization == "int8" else _unpack_nf4
        _classes[key] = type(
            f"{quantization}_{kind.__name__}", (kind,), {"weight": property(unpack)}
        )
    return _classes[key]
