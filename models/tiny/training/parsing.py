"""Train human parsing: a small SegFormer (Xie et al. 2021, arXiv:2105.15203).

Half of the training pictures are people as the renderer draws them. The rest are people of other
sizes and positions, two people, garments alone, and pictures without people: without those the
parser would find a person in every picture.
"""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from numpy.typing import NDArray
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from models.tiny.data import Persons, Pictures, make_persons
from models.tiny.drawing import draw_scene, draw_shape
from models.tiny.training.loop import Training
from models.tiny.world import COLORS, PARTS, SCENES, SIZE, random_shape

BATCH = 16
# ImageNet's mean and deviation, which SegFormer's image processor takes by default.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def new_segformer(labels: tuple[str, ...]) -> SegformerForSemanticSegmentation:
    """Create the network with random weights."""
    torch.manual_seed(0)
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            id2label=dict(enumerate(labels)),
            label2id={name: index for index, name in enumerate(labels)},
            hidden_sizes=[32, 48, 64, 96],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 3],
            decoder_hidden_size=64,
            patch_sizes=[3, 3, 3, 3],
            strides=[2, 2, 2, 2],  # not 4 at first: an arm is three pixels wide
        )
    )


def normalize_pixels(pictures: Pictures) -> torch.Tensor:
    """Normalize uint8 RGB (n, 64, 64, 3) to float32 (n, 3, 64, 64) as the processor does."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
    return (scaled - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


def train_parsing(
    samples: int, seconds: float, work: Path, out: Path, from_pack: bool = False
) -> None:
    """Train for ``seconds`` and save to ``out``; ``from_pack`` starts from the weights there."""
    pictures, labels = parsed_pictures(make_persons(samples, seed=61), random.Random(62))
    parts = torch.from_numpy(labels)
    model = (
        SegformerForSemanticSegmentation.from_pretrained(out) if from_pack else new_segformer(PARTS)
    )
    # Arms and shoes are few pixels; without weights they are never learned.
    counts = torch.bincount(parts[:2000].reshape(-1).long(), minlength=len(PARTS)).float()
    weights = (counts.sum() / counts).sqrt()
    weights /= weights.mean()

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        logits = model(normalize_pixels(pictures[rows.numpy()])).logits
        full = F.interpolate(logits, (SIZE, SIZE), mode="bilinear")
        return F.cross_entropy(full, parts[rows].long(), weights)

    training = Training(loss, [(model, 2e-3)], seconds, work / "parsing.pt")

    def export() -> None:
        training.averaged(model).save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
        size = {"height": SIZE, "width": SIZE}
        SegformerImageProcessorPil(size=size).save_pretrained(out)

    training.run(export)


def parsed_pictures(data: Persons, rng: random.Random) -> tuple[Pictures, NDArray[np.uint8]]:
    """Vary the pictures of ``data``; return them with their label maps, uint8 (n, 64, 64)."""
    pictures, parts = data.pictures.copy(), data.parts.copy()
    for index in range(len(pictures)):
        kind = rng.random()
        if kind < 0.5:
            continue
        if kind < 0.68:
            background = _nobody(rng)
            pictures[index], parts[index] = _placed(data, [index], background, rng)
        elif kind < 0.76:
            other = rng.randrange(len(pictures))
            pictures[index], parts[index] = _placed(data, [index, other], _nobody(rng), rng)
        elif kind < 0.84:
            pictures[index], parts[index] = data.garments[index], _garment(data, index)
        else:
            pictures[index], parts[index] = _nobody(rng), 0
    return pictures, parts


def _placed(
    data: Persons, people: list[int], background: Pictures, rng: random.Random
) -> tuple[Pictures, NDArray[np.uint8]]:
    """Paste people of any size side by side; a single one may be cut off by the edge."""
    picture, labels = background.copy(), np.zeros((SIZE, SIZE), np.uint8)
    room = SIZE // len(people)
    for number, index in enumerate(people):
        size = round(SIZE * (rng.uniform(0.45, 0.62) if len(people) > 1 else rng.uniform(0.4, 1.4)))
        person_pixels = cv2.resize(data.pictures[index], (size, size), interpolation=cv2.INTER_AREA)
        person_labels = cv2.resize(data.parts[index], (size, size), interpolation=cv2.INTER_NEAREST)
        left = number * room + (room - size) // 2 + round(rng.uniform(-0.2, 0.2) * room)
        top = rng.randint(min(0, SIZE - size), max(0, SIZE - size))
        x, y = max(left, 0), max(top, 0)
        right, low = min(left + size, SIZE), min(top + size, SIZE)
        person_pixels = person_pixels[y - top : low - top, x - left : right - left]
        person_labels = person_labels[y - top : low - top, x - left : right - left]
        picture[y:low, x:right] = np.where(
            person_labels[..., None] > 0, person_pixels, picture[y:low, x:right]
        )
        labels[y:low, x:right] = np.where(person_labels > 0, person_labels, labels[y:low, x:right])
    return picture, labels


def _garment(data: Persons, index: int) -> NDArray[np.uint8]:
    garment = data.garments[index].astype(np.int16)
    part = next(p for p in ("dress", "upper") if (data.parts[index] == PARTS.index(p)).any())
    mask = np.abs(garment - garment[0, 0]).max(axis=2) > 10
    return mask.astype(np.uint8) * np.uint8(PARTS.index(part))


def _nobody(rng: random.Random) -> Pictures:
    """Return a picture without people: a scene, a shape, a color or noise."""
    kind = rng.random()
    if kind < 0.4:
        drawn = draw_scene(rng.choice(SCENES), rng)[0]  # twice as large
        return cv2.resize(drawn, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if kind < 0.85:
        return draw_shape(random_shape(rng), rng)
    noise = np.random.default_rng(rng.randrange(2**32)).normal(
        0, 1, (SIZE, SIZE, 1 + 2 * (kind > 0.92))
    )
    plain = np.array(rng.choice(list(COLORS.values()))) + noise * rng.uniform(0, 60)
    return np.clip(plain, 0, 255).astype(np.uint8)
