"""Loading weights: safetensors only, no remote code, and no licence broken by accident."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from models.profiles import Weights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class NonCommercialWeights(RuntimeError):
    """The weights may not be used commercially and ALLOW_NONCOMMERCIAL_WEIGHTS is not 1."""


def require_licence(weights: Weights) -> None:
    """Refuse weights that a paid service may not use, unless the operator says otherwise."""
    if weights.commercial or os.environ.get("ALLOW_NONCOMMERCIAL_WEIGHTS") == "1":
        return
    raise NonCommercialWeights(
        f"{weights.name} ({weights.licence}) forbids commercial use;"
        " set ALLOW_NONCOMMERCIAL_WEIGHTS=1 if yours is not"
    )


def load_text_to_image(weights: Weights, dtype: str, device: str) -> DiffusionPipeline:
    """A diffusers text-to-image pipeline on ``device``, without a progress bar of its own."""
    import torch
    from diffusers import AutoPipelineForText2Image

    require_licence(weights)
    pipeline = AutoPipelineForText2Image.from_pretrained(
        weights.source,
        revision=weights.revision,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        local_files_only=weights.path is not None,
        **_without_safety_checker(weights),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _without_safety_checker(weights: Weights) -> dict[str, object]:
    # The tiny pack ships none: its world has nothing to check. Hub weights keep theirs.
    return (
        {} if weights.path is None else {"safety_checker": None, "requires_safety_checker": False}
    )
