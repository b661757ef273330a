"""OpenAI's names of models, and which generator answers to each.

A generator answers to its own name, too. ``MODEL_ALIASES`` adds names or changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from serve_app.compat.aliases import named_generators
from serve_app.http.schemas import View
from serve_app.openai.errors import ModelNotFound
from serve_app.resources import Clients

IMAGE_GENERATOR = "image"
# Those that make a film from words; an influencer needs pictures of a person, and consent.
FILM_GENERATORS = ("story_video", "video3d", "study_animation")
DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL = "gpt-image-2", "sora-2"

ALIASES: Mapping[str, str] = {
    "chatgpt-image-latest": "image",
    "dall-e-2": "image",
    "dall-e-3": "image",
    "gpt-image-1": "image",
    "gpt-image-1-mini": "image",
    "gpt-image-1.5": "image",
    "gpt-image-2": "image",
    "gpt-image-2.5-flare": "image",
    "gpt-image-2.5-sunburst": "image",
    "sora-2": "story_video",
    "sora-2-pro": "story_video",
}


class ModelView(View):
    """A model, as OpenAI lists it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


def generator_of(clients: Clients, model: str, among: tuple[str, ...]) -> str:
    """Return the generator that answers to ``model``.

    Raises:
        ModelNotFound: none of ``among`` does.
    """
    generator = named_generators(clients, ALIASES).get(model)
    if generator not in among:
        raise ModelNotFound(f"The model '{model[:100]}' does not exist here, or not for this call.")
    return generator


def model_views(clients: Clients) -> list[ModelView]:
    """List the models, by name."""
    able = {IMAGE_GENERATOR, *FILM_GENERATORS}
    named = sorted(named_generators(clients, ALIASES).items())
    return [ModelView(id=name, owned_by=of) for name, of in named if of in able]
