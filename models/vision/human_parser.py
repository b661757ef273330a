"""The human parser of a profile: a photo in, a label for every pixel out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from PIL.Image import Image

from models.memory.loader import CapabilityModel, ModelLoader
from models.profiles.load import Capability, MemoryNeed, Profile
from models.vision.grounded_sam import GroundedSam
from models.vision.human_parsing import HumanParse
from models.vision.segformer import SegformerParser

_SEGMENTER = "segmenter"  # its role in the profile


class Parser(Protocol):
    """What labels a photo. ``network`` is what a memory plan is applied to."""

    network: Any

    def parse(self, image: Image) -> HumanParse:
        """Label every pixel of ``image``, at its size."""


class HumanParser(CapabilityModel):
    """The loaded parser of a profile; safe to call from several threads."""

    capability = Capability.HUMAN_PARSING

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.network)
        self._parser = parser

    @classmethod
    def read(cls, profile: Profile) -> HumanParser:
        """The parser of ``profile``, on the CPU.

        Raises:
            UnknownLabel: the weights know a thing that has no word in the common vocabulary.
        """
        model = profile.model(Capability.HUMAN_PARSING)
        if model.loader != GroundedSam.loader:
            return cls(SegformerParser.read(model))
        return cls(GroundedSam.read(model, profile.part(Capability.HUMAN_PARSING, _SEGMENTER)))

    @classmethod
    def loader(cls, profile: Profile) -> ModelLoader[HumanParser]:
        """How a cache loads the parser of ``profile``."""
        loader = super().loader(profile)
        grounded = profile.model(Capability.HUMAN_PARSING).loader == GroundedSam.loader
        return replace(loader, plans=GroundedSam.plans) if grounded else loader

    @classmethod
    def memory_need(cls, profile: Profile) -> MemoryNeed:
        """What the parser takes; a detector and its segmenter work one after the other."""
        model = profile.model(Capability.HUMAN_PARSING)
        if model.loader != GroundedSam.loader:
            return model.memory
        both = {
            "detector": model.memory,
            _SEGMENTER: profile.part(Capability.HUMAN_PARSING, _SEGMENTER).memory,
        }
        return MemoryNeed(
            components={role: need.weights_mb for role, need in both.items()},
            activations=max(need.activations for need in both.values()),
            activations_sliced=max(need.activations_sliced for need in both.values()),
        )

    def parse(self, image: Image) -> HumanParse:
        """Label every pixel of ``image``, at its size."""
        return self._parser.parse(image)
