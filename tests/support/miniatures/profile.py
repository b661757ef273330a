"""A profile around a miniature, as a file of ``models/profiles`` would say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.profiles.load import Capability, Model, Profile

_MEMORY = {"components": {}, "activations": 0, "activations_sliced": 0}


def entry(loader: str, path: Path | None, **more: Any) -> Model:
    return Model.model_validate(
        {"name": "miniature", "path": path, "licence": "none", "commercial": True,
         "loader": loader, "memory": _MEMORY, **more}
    )  # fmt: skip


def profile(
    capability: Capability, model: Model, *, base: Model | None = None, **use: Any
) -> Profile:
    """One capability; ``base`` is the model that ``model`` is an adapter of."""
    models = {"miniature": model}
    if base is not None:
        models = {"miniature": model.model_copy(update={"adapter_of": "base"}), "base": base}
    return Profile(
        name="miniature",
        title="A miniature",
        device="cpu",
        models=models,
        capabilities={capability: {"model": "miniature", **use}},
    )
