"""IP-Adapters (Ye et al. 2023, arXiv:2308.06721) for the pack's UNets, in the official format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from safetensors.torch import save_file
from transformers import CLIPVisionModelWithProjection

FILE = "ip_adapter.safetensors"
TOKENS = 4  # what diffusers expects of an adapter with a plain projection


def attach(
    unet: UNet2DConditionModel, encoder: CLIPVisionModelWithProjection, work: Path
) -> list[torch.nn.Parameter]:
    """Add an IP-Adapter to ``unet`` and return its weights.

    As in the paper, its key and value projections start as copies of the text's.
    """
    torch.manual_seed(2)
    projection = ImageProjection(
        cross_attention_dim=unet.config.cross_attention_dim,
        image_embed_dim=encoder.config.projection_dim,
        num_image_text_embeds=TOKENS,
    )
    state = _projection_state(projection)
    for key, name in _numbered(unet):
        attention: Any = unet.get_submodule(name.removesuffix(".processor"))
        state[f"ip_adapter.{key}.to_k_ip.weight"] = attention.to_k.weight
        state[f"ip_adapter.{key}.to_v_ip.weight"] = attention.to_v.weight
    work.mkdir(parents=True, exist_ok=True)
    _write(state, work / FILE)
    load(unet, work)
    return [
        weight
        for name, weight in unet.named_parameters()
        if "_ip." in name or "encoder_hid_proj" in name
    ]


def load(unet: UNet2DConditionModel, folder: Path) -> None:
    """Load the adapter of ``folder`` into a bare UNet, by the code a pipeline uses."""
    pipeline = StableDiffusionPipeline(
        vae=None,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.load_ip_adapter(str(folder), subfolder="", weight_name=FILE, image_encoder_folder=None)


def set_scale(unet: UNet2DConditionModel, scale: float) -> None:
    """Set the adapter's scale: 1 applies the image prompt, 0 skips the adapter."""
    for name, processor in unet.attn_processors.items():
        if name.endswith("attn2.processor"):
            processor.scale = [scale]


def save(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the adapter of ``unet`` to ``folder``."""
    state = _projection_state(unet.encoder_hid_proj.image_projection_layers[0])
    processors = unet.attn_processors
    for key, name in _numbered(unet):
        state[f"ip_adapter.{key}.to_k_ip.weight"] = processors[name].to_k_ip[0].weight
        state[f"ip_adapter.{key}.to_v_ip.weight"] = processors[name].to_v_ip[0].weight
    folder.mkdir(parents=True, exist_ok=True)
    _write(state, folder / FILE)


def _numbered(unet: UNet2DConditionModel) -> list[tuple[int, str]]:
    """The official numbering: odd numbers over the cross-attentions in the UNet's order."""
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    return [(2 * index + 1, name) for index, name in enumerate(names)]


def _projection_state(projection: ImageProjection) -> dict[str, torch.Tensor]:
    return {
        "image_proj.proj.weight": projection.image_embeds.weight,
        "image_proj.proj.bias": projection.image_embeds.bias,
        "image_proj.norm.weight": projection.norm.weight,
        "image_proj.norm.bias": projection.norm.bias,
    }


def _write(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: weight.detach().clone().contiguous() for name, weight in state.items()}, path)
