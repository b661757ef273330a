"""The models a replica makes films with, and what its jobs do alike with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from models.diffusion.batching import Engine
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.video.pipeline import ImageToVideo
from models.memory.cache import ModelCache
from models.memory.loader import ModelLoader
from models.profiles.load import Capability, Profile
from models.speech.narrator import Narrator
from models.storyfilm.prompts.base import PromptBuilder
from models.storyfilm.prompts.choose import prompt_builder_for
from models.vision.identity import IdentityScorer
from models.vision.upscale import Upscaler


@dataclass(frozen=True)
class StoryModels:
    """What the profile has; ``None`` where it has no such model."""

    profile: Profile
    model_cache: ModelCache
    image_pipeline: ImagePipeline
    narrator: ModelLoader[Narrator]
    prompt_builder: PromptBuilder
    identity_scorer: ModelLoader[IdentityScorer] | None
    video_model: ModelLoader[ImageToVideo] | None
    upscaler: ModelLoader[Upscaler] | None

    @classmethod
    def for_profile(cls, profile: Profile, model_cache: ModelCache) -> StoryModels:

        drawing = (Capability.TEXT_TO_IMAGE, Capability.IDENTITY)
        # Rows of another job in the same batch change the last bits of a picture, and a pixel in
        # ten thousand with them. A film draws one picture at a time, so alone it loses nothing,
        # and the same seed gives the same film to the byte.
        engine = Engine(max_rows=1, calibrate=False)
        return cls(
            profile=profile,
            model_cache=model_cache,
            image_pipeline=ImagePipeline(profile, model_cache, engine, capabilities=drawing),
            narrator=Narrator.loader(profile),
            prompt_builder=prompt_builder_for(profile),
            identity_scorer=_identity_scorer(profile),
            video_model=_video_model(profile),
            upscaler=_upscaler(profile),
        )

    @property
    def supports_identity(self) -> bool:
        """Whether pictures can be drawn from the picture of a person."""
        return Capability.IDENTITY in self.profile.capabilities


def derive_seed(seed: int, what: str) -> int:
    """A seed for one thing, the same however many other things there are."""
    digest = hashlib.sha256(f"{seed} {what}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _identity_scorer(profile: Profile) -> ModelLoader[IdentityScorer] | None:
    if Capability.LIKENESS not in profile.capabilities:
        return None
    return IdentityScorer.loader(profile)


def _video_model(profile: Profile) -> ModelLoader[ImageToVideo] | None:
    if Capability.IMAGE_TO_VIDEO not in profile.capabilities:
        return None
    return ImageToVideo.loader(profile)


def _upscaler(profile: Profile) -> ModelLoader[Upscaler] | None:
    if Capability.UPSCALE not in profile.capabilities:
        return None
    return Upscaler.loader(profile)
