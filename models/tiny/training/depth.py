"""Train depth estimation: a small GLPN (Kim et al. 2022, arXiv:2201.07436).

GLPN predicts distance, and the depth maps hold nearness, so it learns 1 - nearness.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GLPNConfig, GLPNForDepthEstimation, GLPNImageProcessorPil

from models.tiny.data import make_samples
from models.tiny.training.loop import Training

BATCH = 16
NEAREST = 0.05  # keeps 1/distance bounded


def new_glpn() -> GLPNForDepthEstimation:
    """Create the network with random weights."""
    torch.manual_seed(0)
    return GLPNForDepthEstimation(
        GLPNConfig(
            hidden_sizes=[32, 48, 64, 96],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 3],
            decoder_hidden_size=32,
            max_depth=1,
        )
    )


def train_depth(samples: int, seconds: float, work: Path, out: Path) -> None:
    """Train for ``seconds`` and save to ``out``."""
    data = make_samples(samples, seed=71, persons=0.7)
    model = new_glpn()

    def loss(draw: torch.Generator) -> torch.Tensor:
        rows = torch.randint(0, samples, (BATCH,), generator=draw).numpy()
        pixels = torch.from_numpy(data.pictures[rows]).permute(0, 3, 1, 2).float().div(255)
        nearness = torch.from_numpy(data.depth[rows]).float()
        target = 1 - (1 - NEAREST) * nearness
        predicted = model(pixels).predicted_depth
        return torch.nn.functional.l1_loss(predicted, target)

    training = Training(loss, [(model, 2e-3)], seconds, work / "depth.pt")

    def export() -> None:
        training.averaged(model).save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
        GLPNImageProcessorPil().save_pretrained(out)

    training.run(export)
