"""Miniatures of the Stable Diffusion 1.5 and SDXL pipelines and of what is loaded into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file

from tests.support.miniatures import parts


def _unet(in_channels: int = 4, **more: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    shape = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": 32,
        "in_channels": in_channels,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": parts.WIDTH,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**{**shape, **more}).eval()


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)


def stable_diffusion(folder: Path, in_channels: int = 4, *, checked: bool = False) -> Path:
    """With a safety checker if ``checked``, as the real weights have."""
    pipeline = StableDiffusionPipeline(
        unet=_unet(in_channels),
        vae=parts.picture_autoencoder(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        scheduler=_scheduler(),
        safety_checker=parts.safety_checker() if checked else None,
        feature_extractor=parts.clip_pictures() if checked else None,
        requires_safety_checker=checked,
    )
    return parts.save(pipeline, folder)


def stable_diffusion_xl(folder: Path, in_channels: int = 4) -> Path:
    return parts.save(StableDiffusionXLPipeline(**_xl_parts(in_channels)), folder)


def stable_diffusion_xl_inpaint(folder: Path) -> Path:
    """Nine channels: latents, mask, masked picture."""
    return parts.save(StableDiffusionXLInpaintPipeline(**_xl_parts(9)), folder)


_XL_UNET: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": (1, 2),
    "projection_class_embeddings_input_dim": 6 * 8 + parts.WIDTH,
    "cross_attention_dim": 2 * parts.WIDTH,
}


def _xl_parts(in_channels: int) -> dict[str, Any]:
    return {
        "unet": _unet(in_channels, **_XL_UNET),
        "vae": parts.picture_autoencoder(),
        "text_encoder": parts.clip_text(),
        "text_encoder_2": parts.clip_text(projection=True),
        "tokenizer": parts.clip_tokenizer(),
        "tokenizer_2": parts.clip_tokenizer(),
        "scheduler": _scheduler(),
    }


def controlnet(folder: Path) -> Path:
    """Fits :func:`stable_diffusion`."""
    return _controlnet(_unet(), folder)


def controlnet_xl(folder: Path) -> Path:
    """Fits :func:`stable_diffusion_xl`."""
    return _controlnet(_unet(**_XL_UNET), folder)


def _controlnet(unet: UNet2DConditionModel, folder: Path) -> Path:
    torch.manual_seed(0)
    made = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    return parts.save(parts.lively(made), folder)


def ip_adapter(folder: Path, *, xl: bool = False) -> Path:
    """The published layout: ``models/image_encoder`` and one safetensors file beside it.

    The plain adapter (four tokens from the pooled embedding); the plus kind differs in its
    projection alone.
    """
    unet = _unet(**(_XL_UNET if xl else {}))
    width = unet.config.cross_attention_dim
    state = {
        "image_proj.proj.weight": torch.empty(4 * width, parts.WIDTH),
        "image_proj.proj.bias": torch.empty(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    generator = torch.Generator().manual_seed(0)
    # Keys and values of every cross-attention, numbered as the processors are: odd numbers.
    number = 1
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            for kind in ("k", "v"):
                key = f"ip_adapter.{number}.to_{kind}_ip.weight"
                state[key] = torch.empty(module.inner_dim, width)
            number += 2
    for key, value in state.items():
        if "norm" not in key:
            value.normal_(0.0, 0.3, generator=generator)
    models = folder / "models"
    parts.save(parts.clip_vision(), models / "image_encoder")
    save_file(state, models / "ip-adapter.safetensors")
    return folder
