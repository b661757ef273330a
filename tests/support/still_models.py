"""Models of a profile that nobody asks for anything: of generators that only need to know which."""

from __future__ import annotations

from collections.abc import Mapping

from models.inference.inference import Inference, OnEvent, Operation, R, ignore_event
from models.profiles.load import Profile, load_profile


class StillModels(Inference):
    """``profile`` and no more."""

    def __init__(self, name: str = "tiny") -> None:
        self._profile = load_profile(name)

    @property
    def profile(self) -> Profile:
        return self._profile

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        raise NotImplementedError("nothing is to be drawn")

    def memory_plans(self) -> Mapping[str, str]:
        return {}
