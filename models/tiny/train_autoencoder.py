"""Trains the pack's autoencoder: 64x64x3 pictures to 16x16x4 latents of unit variance and back.

AutoencoderTiny (the TAESD architecture, https://github.com/madebyollin/taesd), trained on
reconstruction with an extra term on image gradients, which keeps small shapes and faces sharp.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from diffusers import AutoencoderTiny
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def build_autoencoder() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        # Convolutions at full resolution are what costs time on a CPU: no blocks there.
        num_encoder_blocks=(0, 1, 2),
        num_decoder_blocks=(2, 2, 0),
        upsampling_scaling_factor=2,
        latent_channels=4,
    )


def to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """(n, 64, 64, 3) uint8 to (n, 3, 64, 64) float in -1..1, channels last in memory."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return scaled.to(memory_format=torch.channels_last)


def _gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return images[..., 1:, :] - images[..., :-1, :], images[..., :, 1:] - images[..., :, :-1]


def _loss(made: torch.Tensor, wanted: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    edges = sum(F.l1_loss(a, b) for a, b in zip(_gradients(made), _gradients(wanted), strict=True))
    size = 1e-3 * latents.square().mean()
    return F.l1_loss(made, wanted) + F.mse_loss(made, wanted) + 0.5 * edges + size


def psnr(autoencoder: AutoencoderTiny, pictures: NDArray[np.uint8]) -> float:
    """Peak signal to noise of a round trip, in dB."""
    with torch.no_grad():
        errors = []
        for chunk in to_tensor(pictures).split(100):
            made = autoencoder.decode(autoencoder.encode(chunk).latents).sample.clamp(-1, 1)
            errors.append(F.mse_loss(made, chunk).item())
    return 10 * math.log10(4 / float(np.mean(errors)))


def train_autoencoder(
    pictures: NDArray[np.uint8], seconds: float, out: Path, batch: int = 8
) -> AutoencoderTiny:
    """Train for ``seconds`` and save into ``out`` (diffusers layout)."""
    torch.manual_seed(0)
    model = build_autoencoder().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, betas=(0.9, 0.99), weight_decay=0)
    started, step = time.monotonic(), 0
    rng = np.random.default_rng(0)
    while (done := (time.monotonic() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = 3e-3 * warm * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        wanted = to_tensor(pictures[rng.integers(0, len(pictures), batch)])
        latents = model.encode(wanted).latents
        made = model.decode(latents + 0.05 * torch.randn_like(latents)).sample
        loss = _loss(made, wanted, latents)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            logger.info("autoencoder step %d (%.0f%%) loss %.4f", step, 100 * done, loss.item())
    model.eval()
    with torch.no_grad():
        latents = torch.cat(
            [model.encode(chunk).latents for chunk in to_tensor(pictures[:1000]).split(100)]
        )
    model.register_to_config(scaling_factor=1 / latents.std().item())
    model.save_pretrained(out, safe_serialization=True)
    logger.info("autoencoder: %d steps, %.1f dB", step, psnr(model, pictures[-400:]))
    return model
