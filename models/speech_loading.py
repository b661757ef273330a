"""The narrator as one of a replica's models: loaded, evicted and counted like the others."""

from __future__ import annotations

from models.memory.cache import ModelLoader
from models.profiles.load import Capability, MemoryNeed, Profile
from models.speech.narrator import Narrator

_NOTHING = MemoryNeed(components={}, activations=0, activations_sliced=0)


def narrator(profile: Profile, device: str) -> ModelLoader[Narrator]:
    """``profile``'s voice on ``device``; eSpeak NG takes no room.

    Loading raises what :meth:`models.speech.narrator.Narrator.load` does.
    """
    use = profile.capabilities.get(Capability.SPEECH)
    model = profile.models[use.model] if use is not None else None
    return ModelLoader(
        key=f"speech:{model.name if model is not None else 'espeak-ng'}",
        need=model.memory if model is not None else _NOTHING,
        load=lambda: Narrator.load(profile, device),
        activate=_placed_already,
    )


def _placed_already(*_: object) -> None:
    """The narrator puts its network where it was told to."""
