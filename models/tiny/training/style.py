"""Train a style as a LoRA (Hu et al. 2021, arXiv:2106.09685): pictures in black and white.

The captions are the usual ones and the pictures have no color. Only the low-rank updates are
trained: at half weight a picture is half as colorful, and at weight 0 it is unchanged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict

from models.tiny.data import Pictures, make_samples
from models.tiny.training.denoiser import DROPPED, Parts, latents_of, token_ids, velocity_loss
from models.tiny.training.loop import Training

BATCH = 32
RANK = 8
ADAPTED = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_in", "conv_out"]
FILE = "noir.safetensors"
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def to_grayscale(pictures: Pictures) -> Pictures:
    """Remove the color of uint8 RGB (n, 64, 64, 3); the result has the same shape."""
    gray = (pictures @ _LUMA).round().astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def train_style(parts: Parts, samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train the LoRA; ``parts`` is the finished text-to-image model and stays frozen."""
    data = make_samples(samples, seed=71)
    latents = latents_of(to_grayscale(data.pictures), parts.autoencoder)
    ids = token_ids([full for full, _ in data.captions], parts.tokenizer)
    empty = token_ids([""], parts.tokenizer)
    parts.text_encoder.requires_grad_(False).eval()
    unet = parts.unet.requires_grad_(False)
    torch.manual_seed(7)
    unet.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=ADAPTED)
    )

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1), generator=draw) < DROPPED
        hidden = parts.text_encoder(torch.where(dropped, empty, ids[rows]))[0]

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return unet(noisy, time, hidden).sample

        return velocity_loss(predict, latents[rows], parts.scheduler.alphas_cumprod, draw)

    training = Training(loss, [(unet, 2e-3)], seconds, work / "style.pt")

    def export() -> None:
        state = get_peft_model_state_dict(training.averaged(unet))
        StableDiffusionPipeline.save_lora_weights(
            out, unet_lora_layers=state, weight_name=FILE, safe_serialization=True
        )

    training.run(export)
