"""Human parsing: a small SegFormer (Xie et al. 2021, arXiv:2105.15203)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from models.tiny.data import Pictures, make_persons
from models.tiny.training.loop import Training
from models.tiny.world import PARTS, SIZE

BATCH = 16
# ImageNet's mean and deviation, which SegFormer's image processor takes by default.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def new_segformer(labels: tuple[str, ...]) -> SegformerForSemanticSegmentation:
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


def normalised(pictures: Pictures) -> torch.Tensor:
    """(n, 64, 64, 3) uint8 to the (n, 3, 64, 64) the image processor makes."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
    return (scaled - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


def train_parsing(samples: int, seconds: float, work: Path, out: Path) -> None:
    data = make_persons(samples, seed=61)
    parts = torch.from_numpy(data.parts)
    model = new_segformer(PARTS)
    # Arms and shoes are few pixels; without weights they are never learnt.
    counts = torch.bincount(parts[:2000].reshape(-1).long(), minlength=len(PARTS)).float()
    weights = (counts.sum() / counts).sqrt()
    weights /= weights.mean()

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw)
        logits = model(normalised(data.pictures[rows.numpy()])).logits
        full = F.interpolate(logits, (SIZE, SIZE), mode="bilinear")
        return F.cross_entropy(full, parts[rows].long(), weights)

    training = Training(loss, [(model, 2e-3)], seconds, work / "parsing.pt")

    def export() -> None:
        training.averaged(model).save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
        size = {"height": SIZE, "width": SIZE}
        SegformerImageProcessorPil(size=size).save_pretrained(out)

    training.run(export)
