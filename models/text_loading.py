"""The writer as one of a replica's models: loaded, evicted and counted like the others."""

from __future__ import annotations

from models.memory.cache import ModelLoader
from models.profiles.load import Capability, MemoryNeed, Profile
from models.writing.writer import Writer

_NOTHING = MemoryNeed(components={}, activations=0, activations_sliced=0)


def writer(profile: Profile, device: str) -> ModelLoader[Writer]:
    """``profile``'s writer on ``device``; outlines take no room.

    Loading raises what :meth:`models.writing.writer.Writer.load` does.
    """
    use = profile.capabilities.get(Capability.TEXT)
    model = profile.models[use.model] if use is not None else None
    return ModelLoader(
        key=f"text:{model.name if model is not None else 'outline'}",
        need=model.memory if model is not None else _NOTHING,
        load=lambda: Writer.load(profile, device),
        activate=_placed_already,
    )


def _placed_already(*_: object) -> None:
    """The writer puts its network where it was told to."""
