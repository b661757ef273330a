"""Write a UNet the way checkpoints of one file hold it: CompVis' latent-diffusion's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

PREFIX = "model.diffusion_model."

_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def save_unet(unet: Any, file: Path) -> Path:
    """Write ``unet`` (a UNet2DConditionModel), and nothing beside it, into ``file``."""
    places = _places(unet)
    weights = {}
    for name, tensor in unet.state_dict().items():
        place = next(place for place in places if name.startswith(f"{place}."))
        inner = name.removeprefix(place)
        if "resnets" in place:
            for ours, theirs in _RESNET.items():
                inner = inner.replace(f".{ours}.", f".{theirs}.")
        weights[PREFIX + places[place] + inner] = tensor.contiguous()
    save_file(weights, file)
    return file


def _places(unet: Any) -> dict[str, str]:
    """Where the parts of ``unet`` stand in the other layout, by their names in diffusers."""
    places = dict(_OUTER)
    number = 1
    for index, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            places[f"down_blocks.{index}.resnets.{layer}"] = f"input_blocks.{number}.0"
            places[f"down_blocks.{index}.attentions.{layer}"] = f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            places[f"down_blocks.{index}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    number = 0
    for index, block in enumerate(unet.up_blocks):
        attends = hasattr(block, "attentions")
        for layer in range(len(block.resnets)):
            places[f"up_blocks.{index}.resnets.{layer}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{index}.attentions.{layer}"] = f"output_blocks.{number}.1"
            number += 1
        if block.upsamplers:
            beside = f"output_blocks.{number - 1}.{2 if attends else 1}"
            places[f"up_blocks.{index}.upsamplers.0.conv"] = f"{beside}.conv"
    return places
