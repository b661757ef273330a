"""The picture encoder behind garment transfer and identity: a CLIP vision model.

Trained to tell hair, skin, garment and gender of a person, and colour, pattern and kind of a
garment lying flat; what it puts into its embedding is therefore what a reference picture stands
for. Scenes are not asked about, so they carry over little.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.tiny.data import LOOKS, Pictures, make_persons
from models.tiny.training.loop import Training
from models.tiny.world import SIZE

EMBEDDING = 128
BATCH = 32
_OF_GARMENTS = ("color", "pattern", "garment")
# CLIP's own normalisation: what diffusers takes when it makes the feature extractor itself.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def new_image_encoder() -> CLIPVisionModelWithProjection:
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
    """(n, 64, 64, 3) uint8 to the (n, 3, 64, 64) that CLIP's image processor makes."""
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
    return (scaled - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


def embed(encoder: CLIPVisionModelWithProjection, pictures: Pictures) -> torch.Tensor:
    """(n, 128)."""
    with torch.no_grad():
        chunks = [
            encoder(pixels_of(pictures[start : start + 200])).image_embeds
            for start in range(0, len(pictures), 200)
        ]
    return torch.cat(chunks)


def train_image_encoder(samples: int, seconds: float, work: Path, out: Path) -> None:
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
        asked = _OF_GARMENTS if garments else tuple(LOOKS)
        losses = [
            F.cross_entropy(heads[look](embeds), looks[rows, list(LOOKS).index(look)])
            for look in asked
        ]
        # Diffusers stands for "no picture" with zeros: embeddings of one size lie well around it.
        return torch.stack(losses).sum() + 1e-3 * embeds.square().mean()

    training = Training(loss, [(encoder, 1e-3), (heads, 1e-3)], seconds, work / "image_encoder.pt")

    def export() -> None:
        training.averaged(encoder).save_pretrained(out, safe_serialization=True)  # type: ignore[operator]
        size = {"height": SIZE, "width": SIZE}
        CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(out)

    training.run(export)
