"""The models a replica makes films with, and what its jobs do alike with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.diffusion.image_to_video import ImageToVideo
from models.diffusion.pictures import Pictures
from models.likeness import Likeness, NoLikeness
from models.profiles import Capability, MemoryNeed, Profile
from models.residency import Loadable, Residency
from models.speech_loading import narrator
from models.story.wording import Wording, wording_for
from models.upscale import Upscaler

if TYPE_CHECKING:
    from models.speech import Narrator


@dataclass(frozen=True)
class Means:
    """What the profile has; ``None`` where it has no such model."""

    profile: Profile
    residency: Residency
    pictures: Pictures
    narrator: Loadable[Narrator]
    wording: Wording
    likeness: Loadable[Likeness] | None
    film_model: Loadable[ImageToVideo] | None
    upscaler: Loadable[Upscaler] | None

    @classmethod
    def of(cls, profile: Profile, residency: Residency) -> Means:
        from models.diffusion.engine import Engine

        drawing = (Capability.TEXT_TO_IMAGE, Capability.IDENTITY)
        # Rows of another job in the same batch change the last bits of a picture, and a pixel in
        # ten thousand with them. A film draws one picture at a time, so alone it loses nothing,
        # and the same seed gives the same film to the byte.
        engine = Engine(most_rows=1, calibrate=False)
        return cls(
            profile=profile,
            residency=residency,
            pictures=Pictures(profile, residency, engine, capabilities=drawing),
            narrator=narrator(profile, residency.budget.device),
            wording=wording_for(profile),
            likeness=_likeness(profile),
            film_model=_film_model(profile),
            upscaler=_upscaler(profile),
        )

    @property
    def knows_people(self) -> bool:
        """Whether pictures can be drawn from the picture of a person."""
        return Capability.IDENTITY in self.profile.capabilities


def derived(seed: int, what: str) -> int:
    """A seed for one thing, the same however many other things there are."""
    digest = hashlib.sha256(f"{seed} {what}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _likeness(profile: Profile) -> Loadable[Likeness] | None:
    try:
        return Likeness.loadable(profile)
    except NoLikeness:
        return None


def _film_model(profile: Profile) -> Loadable[ImageToVideo] | None:
    if Capability.IMAGE_TO_VIDEO not in profile.capabilities:
        return None
    model = profile.model(Capability.IMAGE_TO_VIDEO)
    parts = [model] + ([profile.models[model.adapter_of]] if model.adapter_of else [])
    need = MemoryNeed(
        components={
            name: size for part in reversed(parts) for name, size in part.memory.components.items()
        },
        activations=max(part.memory.activations for part in parts),
        activations_sliced=max(part.memory.activations_sliced for part in parts),
    )
    key = f"film:{model.name}"
    return Loadable(key, need, lambda: ImageToVideo.read(profile), ImageToVideo.place)


def _upscaler(profile: Profile) -> Loadable[Upscaler] | None:
    if Capability.UPSCALE not in profile.capabilities:
        return None
    return Upscaler.loadable(profile)
