"""Train the image encoder for garment transfer and identity: a CLIP vision model.

It learns to classify hair, skin, garment and gender of a person, and color, pattern and kind of a
flat garment, so its embedding holds these attributes of a reference picture. It is not trained on
scenes, so its embedding holds little of them.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.tiny.data import LOOKS, Persons, Pictures, make_persons
from models.tiny.training.loop import Training
from models.tiny.world import PARTS, SIZE
from models.vision.garments import center_on_square

EMBEDDING = 128
BATCH = 32
_OF_GARMENTS = ("color", "pattern", "garment")
_TURNS = (0, 0, 0, 1, 1, 1, 2, 3, 4)  # how often the second training uses each pool
# CLIP's own normalization: what diffusers takes when it makes the feature extractor itself.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def new_image_encoder() -> CLIPVisionModelWithProjection:
    """Create the encoder with random weights."""
    torch.manual_seed(0)
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=3,
            image_size=SIZE,
            patch_size=8,
            projection_dim=EMBEDDING,
        )
    )


def pixels_of(pictures: Pictures) -> torch.Tensor:
    """Normalize uint8 RGB (n, 64, 64, 3) to float32 (n, 3, 64, 64) as CLIP's processor does."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
    return (scaled - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


def embed(encoder: CLIPVisionModelWithProjection, pictures: Pictures) -> torch.Tensor:
    """Embed uint8 RGB (n, 64, 64, 3): float32 (n, 128)."""
    with torch.no_grad():
        chunks = [
            encoder(pixels_of(pictures[start : start + 200])).image_embeds
            for start in range(0, len(pictures), 200)
        ]
    return torch.cat(chunks)


def train_image_encoder(samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train for ``seconds`` and save to ``out``."""
    data = make_persons(samples, seed=31)
    looks = torch.from_numpy(data.looks)
    encoder = new_image_encoder()
    heads = torch.nn.ModuleDict(
        {look: torch.nn.Linear(EMBEDDING, len(names)) for look, names in LOOKS.items()}
    )
    pools = (data.pictures, data.references, data.garments)

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, len(looks), (BATCH,), generator=draw)
        garments = bool(torch.rand((), generator=draw) < 0.35)
        pool = 2 if garments else int(torch.randint(0, 2, (), generator=draw))
        pictures = pixels_of(pools[pool][rows.numpy()])
        # Real pictures come through an autoencoder, a JPEG or a resize; a little noise stands in.
        pictures = pictures + 0.08 * torch.randn(pictures.shape, generator=draw)
        embeds = encoder(pictures).image_embeds
        attributes = _OF_GARMENTS if garments else tuple(LOOKS)
        losses = [
            F.cross_entropy(heads[look](embeds), looks[rows, list(LOOKS).index(look)])
            for look in attributes
        ]
        # Diffusers stands for "no picture" with zeros: embeddings of one size lie well around it.
        return torch.stack(losses).sum() + 1e-3 * embeds.square().mean()

    training = Training(loss, [(encoder, 1e-3), (heads, 1e-3)], seconds, work / "image_encoder.pt")
    training.run(lambda: _save(training.averaged(encoder), out))


def train_worn_garments(
    encoder: CLIPVisionModelWithProjection, samples: int, seconds: float, work: Path, out: Path
) -> None:
    """Train a finished encoder to embed a garment alike when it is worn, moved or lying flat.

    All other embeddings are kept, so the adapters trained on them still work.
    """
    data = make_persons(samples, seed=33)
    rng = random.Random(34)
    worn = np.stack([taken_off(data, index, rng) for index in range(samples)])
    moved = np.stack([_moved(garment, rng) for garment in data.garments])
    pools = (worn, moved, data.garments, data.pictures, data.references)
    # A garment by itself is to be embedded as the flat one is; a person as before.
    flat = embed(encoder, data.garments)
    targets = (flat, flat, flat, embed(encoder, data.pictures), embed(encoder, data.references))
    student = copy.deepcopy(encoder).train()

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        pool = _TURNS[int(torch.randint(0, len(_TURNS), (), generator=draw))]
        pictures = pixels_of(pools[pool][rows.numpy()])
        pictures = pictures + 0.04 * torch.randn(pictures.shape, generator=draw)
        return F.mse_loss(student(pictures).image_embeds, targets[pool][rows])

    training = Training(loss, [(student, 5e-4)], seconds, work / "worn_garments.pt")
    training.run(lambda: _save(training.averaged(student), out))


def taken_off(data: Persons, index: int, rng: random.Random) -> Pictures:
    """Cut a person's garment out, slightly too narrow or too wide: uint8 RGB (64, 64, 3)."""
    worn = np.isin(data.parts[index], [PARTS.index("upper"), PARTS.index("dress")])
    by = rng.choice((-1, 0, 0, 1))
    if by:
        change = cv2.dilate if by > 0 else cv2.erode
        worn = change(worn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    cut = center_on_square(Image.fromarray(data.pictures[index]), worn)
    return np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _moved(garment: Pictures, rng: random.Random) -> Pictures:
    """Scale, rotate and shift a flat garment slightly: uint8 RGB (64, 64, 3)."""
    background = tuple(int(value) for value in garment[0, 0])
    scale, turn = rng.uniform(0.8, 1.1), rng.uniform(-6, 6)
    change = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), turn, scale)
    change[:, 2] += (rng.uniform(-3, 3), rng.uniform(-3, 5))
    return cv2.warpAffine(
        garment, change, (SIZE, SIZE), flags=cv2.INTER_AREA, borderValue=background
    )


def _save(encoder: torch.nn.Module, out: Path) -> None:
    encoder.save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
    size = {"height": SIZE, "width": SIZE}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(out)
