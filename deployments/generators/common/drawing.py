"""Draw with the installed models, and say in a job's metadata what drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL.Image import Image

from models.diffusion.requests import DiffusionRequest, ResolvedParams
from models.diffusion.resolve import base_model_key, required_capability
from models.inference.inference import Inference, OnEvent
from models.inference.operations import Draw

DrawImages = Callable[[DiffusionRequest], list[Image]]


def draw_with(inference: Inference, on_event: OnEvent) -> DrawImages:
    """Return a function that draws a request's pictures, and reports its steps to ``on_event``."""
    return lambda request: inference.run(Draw(request), on_event)


def memory_plan(inference: Inference, request: DiffusionRequest) -> str:
    """Return the memory plan of the model that drew ``request``; empty if it is not loaded."""
    key = base_model_key(inference.profile, required_capability(request))
    return inference.memory_plans().get(key, "")


def drawing_notes(used: ResolvedParams, **fields: str) -> dict[str, Any]:
    """Return what a job's metadata says of its drawings: the model, and what it was run with.

    ``ignored`` is there if the request asked for what the model cannot do; ``fields`` as above.
    """
    notes: dict[str, Any] = {
        "model": used.model,
        "steps": used.steps,
        "guidance": used.guidance,
        "scheduler": used.scheduler,
    }
    if used.ignored:
        notes["ignored"] = {fields.get(name, name): why for name, why in used.ignored.items()}
    return notes
