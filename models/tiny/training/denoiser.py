"""Train the text encoder and the text-to-image UNet together.

v-prediction (Salimans and Ho 2022, arXiv:2202.00512) with zero terminal SNR (Lin et al. 2023,
arXiv:2305.08891), loss weight min(SNR+1, 5)/(SNR+1) (min-SNR, arXiv:2303.09556, in the form that
does not vanish at zero SNR), captions dropped for one in ten samples (classifier-free guidance).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from models.tiny.data import Pictures, make_samples
from models.tiny.tokenizer import MAX_TOKENS, build_tokenizer
from models.tiny.training.autoencoder import to_tensor
from models.tiny.training.loop import Training

BATCH = 32
DROPPED = 0.1


@dataclass
class Parts:
    """The components of a Stable Diffusion model."""

    autoencoder: AutoencoderTiny
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler

    def save(self, out: Path, pipeline: type[Any] = StableDiffusionPipeline) -> None:
        """Write ``out`` in diffusers' folder layout, safetensors only."""
        pipeline(
            vae=self.autoencoder,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(out, safe_serialization=True)


def new_parts(autoencoder: AutoencoderTiny) -> Parts:
    """Create the components around ``autoencoder`` with random weights."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=128,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=(1, 2, 3),
        norm_num_groups=16,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )
    return Parts(autoencoder, tokenizer, CLIPTextModel(text), unet, scheduler)


def load_parts(folder: Path, autoencoder: AutoencoderTiny) -> Parts:
    """Load the components that an earlier run saved, with the given autoencoder."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, vae=autoencoder, safety_checker=None, requires_safety_checker=False
    )
    return Parts(
        autoencoder, pipeline.tokenizer, pipeline.text_encoder, pipeline.unet, pipeline.scheduler
    )


def latents_of(pictures: Pictures, autoencoder: AutoencoderTiny) -> torch.Tensor:
    """Encode uint8 RGB (n, 64, 64, 3) to float32 latents (n, 4, 16, 16) of unit variance."""
    with torch.no_grad():
        chunks = [
            autoencoder.encode(to_tensor(pictures[start : start + 200])).latents
            for start in range(0, len(pictures), 200)
        ]
    return torch.cat(chunks) * autoencoder.config.scaling_factor


def token_ids(captions: Sequence[str], tokenizer: CLIPTokenizer) -> torch.Tensor:
    """Tokenize the captions: int64 (n, 24) token ids."""
    tokens: Any = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=MAX_TOKENS,
        return_tensors="pt",
    )
    return tokens.input_ids


def velocity_loss(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    clean: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    draw: torch.Generator,
) -> torch.Tensor:
    """Return the weighted v-prediction loss of ``predict(noisy, time)``.

    ``clean`` is float32 (n, ...) latents; ``alphas_cumprod`` is the schedule's, float32 (1000,).
    """
    time = torch.randint(0, 1000, (len(clean),), generator=draw)
    noise = torch.randn(clean.shape, generator=draw)
    alpha = alphas_cumprod[time].view(-1, *[1] * (clean.dim() - 1))
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    weight = (5 * (1 - alpha)).clamp(max=1.0)  # SNR + 1 = 1 / (1 - kept)
    return (weight * (predict(noisy, time) - target).square()).mean()


def train_denoiser(parts: Parts, samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train for ``seconds``; ``out`` holds a complete pipeline after every checkpoint."""
    data = make_samples(samples, seed=21, persons=0.55)
    latents = latents_of(data.pictures, parts.autoencoder)
    captions = [[pair[which] for pair in data.captions] for which in (0, 1)]
    tokens = torch.stack([token_ids(texts, parts.tokenizer).to(torch.int16) for texts in captions])
    empty = token_ids([""], parts.tokenizer)
    parts.unet.to(memory_format=torch.channels_last)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, len(latents), (BATCH,), generator=draw)
        which = torch.randint(0, 2, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1), generator=draw) < DROPPED
        ids = torch.where(dropped, empty, tokens[which, rows].long())
        hidden = parts.text_encoder(ids)[0]

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return parts.unet(
                noisy.contiguous(memory_format=torch.channels_last), time, hidden
            ).sample

        return velocity_loss(predict, latents[rows], parts.scheduler.alphas_cumprod, draw)

    training = Training(
        loss, [(parts.unet, 1.6e-3), (parts.text_encoder, 1.2e-3)], seconds, work / "denoiser.pt"
    )

    def export() -> None:
        unet, text = training.averaged(parts.unet), training.averaged(parts.text_encoder)
        trained = Parts(parts.autoencoder, parts.tokenizer, text, unet, parts.scheduler)  # type: ignore[arg-type]
        trained.save(out)

    training.run(export)
