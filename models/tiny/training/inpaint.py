"""Train the inpainting UNet (9 input channels) and its garment adapter together.

Half of the steps inpaint any region from the caption, without the adapter. The other half inpaint
a person's garment, with the flat garment's picture as the only source of color and pattern.
"""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPVisionModelWithProjection

from models.tiny.data import Pictures, make_persons, make_samples
from models.tiny.training import adapter
from models.tiny.training.autoencoder import to_tensor
from models.tiny.training.denoiser import DROPPED, Parts, latents_of, token_ids, velocity_loss
from models.tiny.training.image_encoder import embed
from models.tiny.training.loop import Training
from models.tiny.world import PARTS, SIZE

BATCH = 32
Masks = NDArray[np.uint8]  # (n, 64, 64), 1 where the picture is inpainted


def with_mask_channels(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Copy the UNet with 9 input channels: noisy latents, mask, latents of the masked picture.

    The new weights start at zero, so that the output is unchanged before training.
    """
    extended = UNet2DConditionModel.from_config({**unet.config, "in_channels": 9})
    state = copy.deepcopy(unet.state_dict())
    first = state["conv_in.weight"]
    more = torch.zeros_like(first[:, :1]).repeat(1, 5, 1, 1)
    state["conv_in.weight"] = torch.cat([first, more], 1)
    extended.load_state_dict(state)
    return extended


def garment_masks(parts: NDArray[np.uint8], rng: np.random.Generator) -> Masks:
    """Mask each garment with some pixels around it; one in three is its bounding box.

    ``parts`` is uint8 (n, 64, 64), indices into ``PARTS``.
    """
    labels = [PARTS.index("upper"), PARTS.index("dress")]
    masks = np.isin(parts, labels).astype(np.uint8)
    for mask in masks:
        size = int(rng.integers(1, 4)) * 2 + 1
        mask[:] = cv2.dilate(mask, np.ones((size, size), np.uint8))
        if rng.random() < 0.33:
            ys, xs = np.nonzero(mask)
            mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = 1
    return masks


def any_masks(count: int, rng: np.random.Generator) -> Masks:
    """Make random boxes and ellipses as masks; one in eight covers everything."""
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    for mask in masks:
        kind = rng.random()
        if kind < 0.125:
            mask[:] = 1
            continue
        width, height = (int(side) for side in rng.integers(12, 52, 2))
        x, y = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
        if kind < 0.6:
            mask[y : y + height, x : x + width] = 1
        else:
            middle, axes = (x + width // 2, y + height // 2), (width // 2, height // 2)
            cv2.ellipse(mask, middle, axes, 0, 0, 360, 1, -1)
    return masks


def _kept(pictures: Pictures, masks: Masks, parts: Parts) -> torch.Tensor:
    """(n, 5, 16, 16): the mask, and the latents of the picture with the region grayed out."""
    with torch.no_grad():
        chunks = []
        for start in range(0, len(pictures), 200):
            pixels = to_tensor(pictures[start : start + 200])
            region = torch.from_numpy(masks[start : start + 200])[:, None].float()
            latents = parts.autoencoder.encode(pixels * (region < 0.5)).latents
            small = torch.nn.functional.interpolate(region, size=latents.shape[-2:])
            chunks.append(torch.cat([small, latents * parts.autoencoder.config.scaling_factor], 1))
    return torch.cat(chunks)


def train_inpaint(
    parts: Parts,
    encoder: CLIPVisionModelWithProjection,
    samples: int,
    seconds: float,
    work: Path,
    out: Path,
    garment_out: Path,
) -> None:
    """Train for ``seconds`` and save the UNet to ``out``, the adapter to ``garment_out``.

    ``parts`` is the finished text-to-image model; its text encoder is frozen.
    """
    rng = np.random.default_rng(41)
    persons, others = make_persons(samples, seed=42), make_samples(samples, seed=43)
    person_masked = _kept(persons.pictures, garment_masks(persons.parts, rng), parts)
    other_masked = _kept(others.pictures, any_masks(samples, rng), parts)
    person_latents = latents_of(persons.pictures, parts.autoencoder)
    other_latents = latents_of(others.pictures, parts.autoencoder)
    garments = embed(encoder, persons.garments)
    silent = token_ids([pair[1] for pair in persons.captions], parts.tokenizer)
    full = token_ids([pair[1] for pair in others.captions], parts.tokenizer)
    empty = token_ids([""], parts.tokenizer)

    unet = with_mask_channels(parts.unet)
    adapter.attach(unet, encoder, work / "garment_start")
    unet.to(memory_format=torch.channels_last)
    parts.text_encoder.requires_grad_(False).eval()

    def loss(draw: torch.Generator) -> torch.Tensor:
        dress = bool(torch.rand((), generator=draw) < 0.5)
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1), generator=draw) < DROPPED
        ids = torch.where(dropped, empty, (silent if dress else full)[rows])
        hidden = parts.text_encoder(ids)[0]
        masked = (person_masked if dress else other_masked)[rows]
        adapter.set_scale(unet, 1.0 if dress else 0.0)
        added = {"image_embeds": [(garments[rows] * ~dropped).unsqueeze(1)]}

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            channels = torch.cat([noisy, masked], 1).contiguous(memory_format=torch.channels_last)
            return unet(channels, time, hidden, added_cond_kwargs=added).sample

        clean = (person_latents if dress else other_latents)[rows]
        return velocity_loss(predict, clean, parts.scheduler.alphas_cumprod, draw)

    training = Training(loss, [(unet, 1.2e-3)], seconds, work / "inpaint.pt")

    def export() -> None:
        mean = training.averaged(unet)
        adapter.save(mean, garment_out)
        plain = with_mask_channels(parts.unet)
        own = set(plain.state_dict())
        plain.load_state_dict(
            {name: value for name, value in _without_adapter(mean).items() if name in own}
        )
        trained = Parts(
            parts.autoencoder, parts.tokenizer, parts.text_encoder, plain, parts.scheduler
        )
        trained.save(out, StableDiffusionInpaintPipeline)

    training.run(export)


def _without_adapter(unet: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in unet.state_dict().items()
        if "_ip." not in name and "encoder_hid_proj" not in name
    }
