"""Train the pack's autoencoder: 64x64x3 pictures to 16x16x4 latents of unit variance and back.

AutoencoderTiny (the TAESD architecture, https://github.com/madebyollin/taesd), trained on
reconstruction with an extra term on image gradients, which keeps small shapes and faces sharp.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from diffusers import AutoencoderTiny
from numpy.typing import NDArray

from models.tiny.data import make_samples
from models.tiny.training.loop import Training

logger = logging.getLogger(__name__)

BATCH = 12


def build_autoencoder() -> AutoencoderTiny:
    """Create the autoencoder with random weights."""
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
    """Convert uint8 RGB (n, 64, 64, 3) to float32 (n, 3, 64, 64), -1..1, channels last."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return scaled.to(memory_format=torch.channels_last)


def _gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return images[..., 1:, :] - images[..., :-1, :], images[..., :, 1:] - images[..., :, :-1]


def _loss(decoded: torch.Tensor, target: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    edges = sum(
        F.l1_loss(a, b) for a, b in zip(_gradients(decoded), _gradients(target), strict=True)
    )
    size = 1e-3 * latents.square().mean()
    return F.l1_loss(decoded, target) + F.mse_loss(decoded, target) + 0.5 * edges + size


def psnr(autoencoder: AutoencoderTiny, pictures: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of a round trip in dB.

    ``pictures`` is uint8 RGB (n, 64, 64, 3).
    """
    with torch.no_grad():
        errors = []
        for chunk in to_tensor(pictures).split(100):
            decoded = autoencoder.decode(autoencoder.encode(chunk).latents).sample.clamp(-1, 1)
            errors.append(F.mse_loss(decoded, chunk).item())
    return 10 * math.log10(4 / float(np.mean(errors)))


def train_autoencoder(
    samples: int, seconds: float, work: Path, out: Path, from_pack: bool = False
) -> None:
    """Train for ``seconds`` and save to ``out``; ``from_pack`` starts from the weights there."""
    pictures = make_samples(samples, seed=11).pictures
    torch.manual_seed(0)
    model = AutoencoderTiny.from_pretrained(out) if from_pack else build_autoencoder()
    model.to(memory_format=torch.channels_last)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, len(pictures), (BATCH,), generator=draw)
        target = to_tensor(pictures[rows.numpy()])
        latents = model.encode(target).latents
        noise = torch.randn(latents.shape, generator=draw)
        return _loss(model.decode(latents + 0.03 * noise).sample, target, latents)

    training = Training(loss, [(model, 2e-3)], seconds, work / "autoencoder.pt")

    def export() -> None:
        averaged_model: Any = training.averaged(model)
        with torch.no_grad():
            chunks = to_tensor(pictures[:1000]).split(100)
            latents = torch.cat([averaged_model.encode(chunk).latents for chunk in chunks])
        averaged_model.register_to_config(scaling_factor=1 / latents.std().item())
        averaged_model.save_pretrained(out, safe_serialization=True)
        logger.info("autoencoder: %.1f dB", psnr(averaged_model, pictures[-400:]))

    training.run(export)
