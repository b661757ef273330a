"""The human parser of a profile: a photo in, a label for every pixel out."""

from __future__ import annotations

from typing import Any, Protocol

from PIL.Image import Image

from models.memory.loader import CapabilityModel
from models.profiles.load import Capability, Profile
from models.vision.human_parsing import HumanParse
from models.vision.segformer import SegformerParser


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
        return cls(SegformerParser.read(profile.model(Capability.HUMAN_PARSING)))

    def parse(self, image: Image) -> HumanParse:
        """Label every pixel of ``image``, at its size."""
        return self._parser.parse(image)
