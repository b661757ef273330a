"""Identity similarity: a score of how alike two people look, 0..1.

People are compared by the cosine of two embeddings. :mod:`models.vision.face_embedding` makes those
of photographs, :mod:`models.vision.head_embedding` those of the tiny pack's drawn people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.diffusion.requests import DiffusionRequest, PicturesBlocked
from models.memory.loader import NO_MEMORY, CapabilityModel
from models.profiles.load import Capability, MemoryNeed, Profile
from models.vision.face_embedding import YuNetSFace
from models.vision.head_embedding import HeadEmbedder
from models.vision.human_parsing import RejectionReason

Embedding = npt.NDArray[np.float32]  # (size,), of unit length

SAME_PERSON_THRESHOLD = 0.5
"""Decision threshold of the score: a lower one means that the person is probably another."""

_LEAST = 0.001  # the score of a head that is like none
_DETECTOR, _PARSER = "detector", "parser"  # their roles in the profile
_SEEDS = 2**32
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio, odd: its multiples repeat a seed last


class HeadNotFound(ValueError):
    """None of the reference pictures shows a person's head."""


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
        vectors = [
            vector for reference in references if (vector := self.embed(reference)) is not None
        ]
        if not vectors:
            raise HeadNotFound(
                "no head was found on the reference pictures; send one that shows a face"
            )
        total = np.sum(vectors, axis=0)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)

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

    def rejection_reason(self, picture: Image.Image) -> RejectionReason | None:
        """Return why ``picture`` is unfit as a reference of one person, or ``None``."""
        return self._embedder.rejection_reason(picture)


@dataclass(frozen=True)
class BestMatch:
    """The picture with the best score, its score and seed, and the number of tries."""

    image: Image.Image
    score: float
    seed: int
    tries: int

    @property
    def head_found(self) -> bool:
        """Whether the picture shows a head that could be compared."""
        return self.score > 0


def generate_until_similar(
    generate: Callable[[DiffusionRequest], Image.Image],
    score: Callable[[Image.Image], float],
    request: DiffusionRequest,
    threshold: float,
    tries: int,
) -> BestMatch:
    """Generate ``request`` until ``score`` reaches ``threshold``, at most ``tries`` times.

    The first try uses the request's own seed, the others use seeds derived from it. If no try
    reaches the threshold, the best one is returned; on a tie the first.

    Raises:
        ValueError: ``tries`` is less than one.
        PicturesBlocked: a safety checker blanked every try.
    """
    if tries < 1:
        raise ValueError(f"{tries} tries draw nothing: at least one is needed")
    best: BestMatch | None = None
    for number in range(tries):
        seed = (request.seed + number * _GOLDEN) % _SEEDS if number else request.seed
        try:
            image = generate(replace(request, seed=seed))
        except PicturesBlocked:
            if best is None and number == tries - 1:
                raise
            continue  # another seed may do
        image_score = score(image)
        if best is None or image_score > best.score:
            best = BestMatch(image, image_score, seed, number + 1)
        if image_score >= threshold:
            break
    assert best is not None
    return replace(best, tries=number + 1)
