"""Identity similarity: a score of how alike two people look, 0..1.

People are compared by the cosine of two embeddings. :mod:`models.vision.face_embedding` makes those
of photographs, :mod:`models.vision.head_embedding` those of the tiny pack's drawn people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from models.memory.loader import NO_MEMORY, CapabilityModel
from models.profiles.load import Capability, MemoryNeed, Profile
from models.vision.face_embedding import YuNetSFace
from models.vision.head_embedding import HeadEmbedder
from models.vision.human_parsing import RejectionReason
from models.vision.likeness import (
    _LEAST,
    SAME_PERSON_THRESHOLD,
    Embedding,
    PersonLook,
    mean_embedding,
)

_DETECTOR, _PARSER = "detector", "parser"  # their roles in the profile


class Embedder(Protocol):
    """What turns a person's head or face into a vector.

    ``networks`` are its torch modules by name. ``decision_cosine`` is the cosine similarity that
    best separates the same from other people; it maps to the score :data:`SAME_PERSON_THRESHOLD`.
    ``threshold`` is the score that best separates generated pictures that kept a person's looks
    from those that did not.
    """

    networks: dict[str, Any]
    decision_cosine: float
    threshold: float

    def embed(self, picture: Image.Image) -> Embedding | None:
        """A unit vector, float32 (size,); ``None`` if the picture shows no head or face."""

    def rejection_reason(self, picture: Image.Image) -> RejectionReason | None:
        """Why ``picture`` is unfit as a reference of one person, or ``None``."""


class IdentityScorer(CapabilityModel):
    """How alike two people look, 0..1, by the profile's embedder.

    Several threads may use it at once.
    """

    capability = Capability.LIKENESS

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder.networks or None)
        self._embedder = embedder

    @classmethod
    def read(cls, profile: Profile) -> IdentityScorer:
        """The embedder of ``profile``, its weights on the CPU."""
        model = profile.model(cls.capability)
        if model.loader == YuNetSFace.loader:
            return cls(YuNetSFace.read(model, profile.part(cls.capability, _DETECTOR)))
        return cls(HeadEmbedder.read(model, profile.part(cls.capability, _PARSER)))

    @classmethod
    def memory_need(cls, profile: Profile) -> MemoryNeed:
        """What the embedder takes; OpenCV computes on the CPU and takes nothing of the device."""
        model = profile.model(cls.capability)
        if model.loader == YuNetSFace.loader:
            return NO_MEMORY
        return HeadEmbedder.memory_need(model, profile.part(cls.capability, _PARSER))

    @property
    def threshold(self) -> float:
        """The score below which a generated picture should be generated again."""
        return self._embedder.threshold

    def score(self, references: Sequence[Image.Image], picture: Image.Image) -> float:
        """Score how alike the people of ``picture`` and ``references`` look, 0..1.

        The references' embeddings are averaged. A picture without a head scores 0.

        Raises:
            HeadNotFound: no reference shows a head.
        """
        return self.similarity(self.reference_embedding(references), picture)

    def reference_embedding(self, references: Sequence[Image.Image]) -> Embedding:
        """Average the embeddings of ``references`` for :meth:`similarity`.

        The result is a unit vector, float32 (embedding size,).

        Raises:
            HeadNotFound: no reference shows a head.
        """
        return mean_embedding([self.embed(reference) for reference in references])

    def similarity(self, reference: Embedding, picture: Image.Image) -> float:
        """Compute :meth:`score` from an embedding of :meth:`reference_embedding`: 0..1.

        0 is kept for a picture without a head.
        """
        vector = self.embed(picture)
        if vector is None:
            return 0.0
        threshold_cosine = self._embedder.decision_cosine
        score = SAME_PERSON_THRESHOLD + (1 - SAME_PERSON_THRESHOLD) * (
            float(reference @ vector) - threshold_cosine
        ) / (1 - threshold_cosine)
        return min(max(score, _LEAST), 1.0)

    def embed(self, picture: Image.Image) -> Embedding | None:
        """Embed the head: a unit vector, float32 (size,); ``None`` if there is no head."""
        return self._embedder.embed(picture)

    def look_at(self, picture: Image.Image) -> PersonLook:
        """Embed the person of ``picture``, and tell whether it is fit as a reference."""
        return PersonLook(self.embed(picture), self.rejection_reason(picture))

    def rejection_reason(self, picture: Image.Image) -> RejectionReason | None:
        """Return why ``picture`` is unfit as a reference of one person, or ``None``."""
        return self._embedder.rejection_reason(picture)
