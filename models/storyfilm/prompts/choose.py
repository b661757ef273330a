"""Choose the prompt builder for a model."""

from __future__ import annotations

from models.profiles.load import Capability, Profile
from models.storyfilm.prompts.base import PromptBuilder
from models.storyfilm.prompts.captions import CaptionPromptBuilder
from models.storyfilm.prompts.plain import PlainPromptBuilder


def prompt_builder_for(profile: Profile) -> PromptBuilder:
    """Return the prompt builder for the image model of ``profile``."""

    name = profile.model(Capability.TEXT_TO_IMAGE).name
    return CaptionPromptBuilder() if name in _CAPTION_MODELS else PlainPromptBuilder()


_CAPTION_MODELS = ("atelier-tiny",)
