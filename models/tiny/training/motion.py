"""Train motion modules for the text-to-image UNet (AnimateDiff, Guo et al. 2023, arXiv:2307.04725).

The spatial weights are frozen; the modules learn the relation between the frames of a clip.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import MotionAdapter, UNetMotionModel

from models.tiny.data import make_clips
from models.tiny.training.denoiser import DROPPED, Parts, latents_of, token_ids, velocity_loss
from models.tiny.training.loop import Training

FRAMES, BATCH = 8, 4


def new_adapter() -> MotionAdapter:
    """Create the motion modules; they leave the UNet's output unchanged before training."""
    torch.manual_seed(0)
    adapter = MotionAdapter(
        block_out_channels=(32, 64, 96),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=16,
        motion_max_seq_length=16,
        use_motion_mid_block=True,
    )
    # As in the paper: before training, each frame is generated independently.
    for name, module in adapter.named_modules():
        if name.endswith("proj_out"):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return adapter


def train_motion(parts: Parts, samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train for ``seconds`` and save to ``out``."""
    data = make_clips(samples, seed=81, frames=FRAMES)
    flat = data.films.reshape(-1, *data.films.shape[2:])
    latents = latents_of(flat, parts.autoencoder).view(samples, FRAMES, 4, 16, 16)
    with torch.no_grad():
        ids = token_ids(data.captions, parts.tokenizer)
        hidden = torch.cat([parts.text_encoder(chunk)[0] for chunk in ids.split(500)])
        empty = parts.text_encoder(token_ids([""], parts.tokenizer))[0]
    unet = UNetMotionModel.from_unet2d(parts.unet, new_adapter())
    unet.requires_grad_(False)
    for name, weight in unet.named_parameters():
        weight.requires_grad_("motion_modules" in name)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1, 1), generator=draw) < DROPPED
        text = torch.where(dropped, empty, hidden[rows])

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            # The UNet wants (films, channels, frames, height, width), and a text for each frame.
            texts = text.repeat_interleave(FRAMES, 0)
            return unet(noisy.transpose(1, 2), time, texts).sample.transpose(1, 2)

        return velocity_loss(predict, latents[rows], parts.scheduler.alphas_cumprod, draw)

    training = Training(loss, [(unet, 1e-3)], seconds, work / "motion.pt")

    def export() -> None:
        unet_mean = training.averaged(unet)
        unet_mean.save_motion_modules(str(out), safe_serialization=True)  # type: ignore[operator]

    training.run(export)
