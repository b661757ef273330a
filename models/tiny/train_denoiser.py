"""Trains the pack's text encoder and UNet together on latents of the synthetic world.

v-prediction (Salimans and Ho 2022, arXiv:2202.00512) with zero terminal SNR (Lin et al. 2023,
arXiv:2305.08891), loss weight min(SNR+1, 5)/(SNR+1) (min-SNR, arXiv:2303.09556, in the form that
does not vanish at zero SNR), captions dropped for one in ten samples (classifier-free guidance),
exponential moving average of the weights.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from models.tiny.data import Samples
from models.tiny.tokenizer import MAX_TOKENS
from models.tiny.train_autoencoder import to_tensor

logger = logging.getLogger(__name__)

BATCH = 32
EMA = 0.998


@dataclass
class Parts:
    """What is trained, and the schedule it is trained for."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler


def build_parts(tokenizer: CLIPTokenizer) -> Parts:
    torch.manual_seed(0)
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
    unet.to(memory_format=torch.channels_last)
    return Parts(CLIPTextModel(text), unet, scheduler)


@dataclass(frozen=True)
class Encoded:
    """``latents`` (n, 4, 16, 16) of unit variance; ``tokens`` (2, n, 24), full and short."""

    latents: torch.Tensor
    tokens: torch.Tensor
    empty: torch.Tensor


def encode(samples: Samples, autoencoder: AutoencoderTiny, tokenizer: CLIPTokenizer) -> Encoded:
    scale = autoencoder.config.scaling_factor
    with torch.no_grad():
        chunks = [
            autoencoder.encode(to_tensor(samples.pictures[start : start + 200])).latents * scale
            for start in range(0, len(samples.pictures), 200)
        ]

    def ids(texts: list[str]) -> torch.Tensor:
        made: Any = tokenizer(
            texts, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        return made.input_ids.to(torch.int16)

    both = torch.stack([ids([pair[which] for pair in samples.captions]) for which in (0, 1)])
    return Encoded(torch.cat(chunks), both, ids([""]))


class DenoiserTraining:
    """One run; ``work`` for some seconds at a time, ``save`` whenever a checkpoint is due."""

    def __init__(self, parts: Parts, data: Encoded, seconds: float) -> None:
        self.parts, self.data, self.seconds = parts, data, seconds
        self.weights = [*parts.unet.parameters(), *parts.text_encoder.parameters()]
        self.average = [weight.detach().clone() for weight in self.weights]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(parts.unet.parameters()), "peak": 1.6e-3},
                {"params": list(parts.text_encoder.parameters()), "peak": 1.2e-3},
            ],
            lr=1e-3,
            betas=(0.9, 0.99),
            weight_decay=1e-3,
            foreach=True,
        )
        self.spent, self.steps = 0.0, 0
        self.generator = torch.Generator().manual_seed(1)

    def resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        for weight, kept in zip(self.weights, state["weights"], strict=True):
            weight.data.copy_(kept)
        self.average = list(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.spent, self.steps = state["spent"], state["steps"]
        self.generator.manual_seed(self.steps)

    def save(self, path: Path) -> None:
        state = {
            "weights": [weight.detach() for weight in self.weights],
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "spent": self.spent,
            "steps": self.steps,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    @property
    def done(self) -> float:
        return min(1.0, self.spent / self.seconds)

    def work(self, seconds: float) -> None:
        until, total, count = time.monotonic() + seconds, 0.0, 0
        self.parts.unet.train()
        self.parts.text_encoder.train()
        while (now := time.monotonic()) < until and self.done < 1:
            total, count = total + self._step(), count + 1
            self.spent += time.monotonic() - now
        logger.info(
            "denoiser step %d, %.0f s (%.0f%%), loss %.4f",
            self.steps, self.spent, 100 * self.done, total / max(count, 1),
        )  # fmt: skip

    def _step(self) -> float:
        latents, tokens, empty = self.data.latents, self.data.tokens, self.data.empty
        draw = self.generator
        for group in self.optimizer.param_groups:
            cool = 1.0 if self.done < 0.5 else max(0.02, (1 - self.done) / 0.5)
            group["lr"] = group["peak"] * min(1.0, (self.steps + 1) / 100) * cool
        rows = torch.randint(0, len(latents), (BATCH,), generator=draw)
        clean = latents[rows]
        time_ = torch.randint(0, 1000, (BATCH,), generator=draw)
        noise = torch.randn(clean.shape, generator=draw)
        which = torch.randint(0, 2, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1), generator=draw) < 0.1
        ids = torch.where(dropped, empty.expand(BATCH, -1), tokens[which, rows]).long()
        kept = self.parts.scheduler.alphas_cumprod[time_].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        wanted = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        made = self.parts.unet(
            noisy.contiguous(memory_format=torch.channels_last),
            time_,
            self.parts.text_encoder(ids)[0],
        ).sample
        # SNR + 1 = 1 / (1 - kept)
        weight = (5 * (1 - kept)).clamp(max=1.0)
        loss = (weight * (made - wanted).square()).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.steps += 1
        decay = min(EMA, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, [w.detach() for w in self.weights], 1 - decay)
        return loss.item()

    def averaged(self) -> Parts:
        """A copy that carries the averaged weights, ready to be saved or tried."""
        from copy import deepcopy

        parts = deepcopy(self.parts)
        own = [*parts.unet.parameters(), *parts.text_encoder.parameters()]
        for weight, mean in zip(own, self.average, strict=True):
            weight.data.copy_(mean)
        parts.unet.eval()
        parts.text_encoder.eval()
        return parts
