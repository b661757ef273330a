"""What a story film asks of the installed models."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from models.inference.inference import Inference
from models.profiles.load import Capability, Profile
from models.storyfilm.prompts.base import PromptBuilder
from models.storyfilm.prompts.choose import prompt_builder_for


@dataclass(frozen=True)
class StoryModels:
    """The models at work for a job, and what the profile has of them."""

    inference: Inference

    @property
    def profile(self) -> Profile:
        return self.inference.profile

    @cached_property
    def prompt_builder(self) -> PromptBuilder:
        return prompt_builder_for(self.profile)

    @property
    def supports_identity(self) -> bool:
        """Whether pictures can be drawn from the picture of a person."""
        return Capability.IDENTITY in self.profile.capabilities

    @property
    def supports_likeness(self) -> bool:
        """Whether people can be compared."""
        return Capability.LIKENESS in self.profile.capabilities

    @property
    def supports_video(self) -> bool:
        """Whether pictures can be set in motion."""
        return Capability.IMAGE_TO_VIDEO in self.profile.capabilities

    @property
    def supports_upscaling(self) -> bool:
        """Whether pictures can be enlarged by a model."""
        return Capability.UPSCALE in self.profile.capabilities


def derive_seed(seed: int, what: str) -> int:
    """A seed for one thing, the same however many other things there are."""
    digest = hashlib.sha256(f"{seed} {what}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
