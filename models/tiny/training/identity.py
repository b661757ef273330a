"""Train the identity adapter: hair, skin and clothes of a reference picture in new scenes.

The text-to-image UNet is frozen. The caption names the scene and is silent about the looks; the
reference shows the same person in another scene and pose.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPVisionModelWithProjection

from models.tiny.data import make_persons
from models.tiny.training import adapter
from models.tiny.training.denoiser import DROPPED, Parts, latents_of, token_ids, velocity_loss
from models.tiny.training.image_encoder import embed
from models.tiny.training.loop import Training

BATCH = 32


def train_identity(
    parts: Parts,
    encoder: CLIPVisionModelWithProjection,
    samples: int,
    seconds: float,
    work: Path,
    out: Path,
) -> None:
    """Train for ``seconds`` and save to ``out``; the UNet of ``parts`` is frozen."""
    persons = make_persons(samples, seed=51)
    latents = latents_of(persons.pictures, parts.autoencoder)
    references = embed(encoder, persons.references)
    with torch.no_grad():
        ids = token_ids([pair[1] for pair in persons.captions], parts.tokenizer)
        hidden = torch.cat([parts.text_encoder(chunk)[0] for chunk in ids.split(500)])
        empty = parts.text_encoder(token_ids([""], parts.tokenizer))[0]

    unet = parts.unet
    weights = adapter.attach(unet, encoder, work / "identity_start")
    unet.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    unet.to(memory_format=torch.channels_last)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        dropped = torch.rand((BATCH, 1), generator=draw) < DROPPED
        text = torch.where(dropped[..., None], empty, hidden[rows])
        added = {"image_embeds": [(references[rows] * ~dropped).unsqueeze(1)]}

        def predict(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            seen = noisy.contiguous(memory_format=torch.channels_last)
            return unet(seen, time, text, added_cond_kwargs=added).sample

        return velocity_loss(predict, latents[rows], parts.scheduler.alphas_cumprod, draw)

    training = Training(loss, [(unet, 3e-3)], seconds, work / "identity.pt")

    def export() -> None:
        adapter.save(training.averaged(unet), out)

    training.run(export)
