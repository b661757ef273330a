"""Train a ControlNet (Zhang et al. 2023, arXiv:2302.05543) for edge and depth maps.

One network learns both: half of the steps use the picture's edges (Canny 1986), half its depth map
(near is white). It tells the two kinds apart by their appearance.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel

from models.tiny.data import Pictures, make_samples
from models.tiny.training.denoiser import DROPPED, Parts, latents_of, token_ids, velocity_loss
from models.tiny.training.loop import Training

BATCH = 32
EDGES = (100, 200)  # the thresholds that edge models are trained with
# A picture is four times as large as its latents: two of the usual three halvings.
_EMBEDDING = (16, 32, 64)


def edges_of(pictures: Pictures) -> Pictures:
    """Detect edges in uint8 RGB (n, 64, 64, 3); return uint8 (n, 64, 64), 255 on an edge."""
    return np.stack([cv2.Canny(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), *EDGES) for p in pictures])


def train_control(parts: Parts, samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train the ControlNet; ``parts`` is the finished text-to-image model and stays frozen."""
    data = make_samples(samples, seed=81)
    latents = latents_of(data.pictures, parts.autoencoder)
    nearness = np.clip(data.depth.astype(np.float32) * 255, 0, 255).astype(np.uint8)
    maps = tuple(torch.from_numpy(array) for array in (edges_of(data.pictures), nearness))
    # Short captions omit position and size, which the map shows.
    ids = [token_ids([pair[which] for pair in data.captions], parts.tokenizer) for which in (0, 1)]
    empty = token_ids([""], parts.tokenizer)
    parts.text_encoder.requires_grad_(False).eval()
    unet = parts.unet.requires_grad_(False).eval()
    torch.manual_seed(8)
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=_EMBEDDING)
    control.train().requires_grad_(True)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        kind, which = (int(torch.randint(0, 2, (), generator=draw)) for _ in range(2))
        dropped = torch.rand((BATCH, 1), generator=draw) < DROPPED
        hidden = parts.text_encoder(torch.where(dropped, empty, ids[which][rows]))[0]
        control_map = maps[kind][rows].float().div(255).unsqueeze(1).repeat(1, 3, 1, 1)

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            down, middle = control(
                noisy, time, hidden, controlnet_cond=control_map, return_dict=False
            )
            return unet(
                noisy,
                time,
                hidden,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample

        return velocity_loss(predict, latents[rows], parts.scheduler.alphas_cumprod, draw)

    training = Training(loss, [(control, 1e-3)], seconds, work / "control.pt")
    training.run(
        lambda: training.averaged(control).save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
    )
