"""Draw a person again until the picture is like the references.

:mod:`models.vision.identity` computes the score. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.diffusion.requests import DiffusionRequest, PicturesBlocked
from models.vision.human_parsing import RejectionReason

Embedding = npt.NDArray[np.float32]  # (size,), of unit length


SAME_PERSON_THRESHOLD = 0.5
"""Decision threshold of the score: a lower one means that the person is probably another."""


_LEAST = 0.001  # the score of a head that is like none


_SEEDS = 2**32


_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio, odd: its multiples repeat a seed last


class HeadNotFound(ValueError):
    """None of the reference pictures shows a person's head."""


@dataclass(frozen=True, eq=False)
class PersonLook:
    """The person that a picture shows.

    ``embedding`` is a unit vector, float32 (size,); ``None`` if no head or face was found.
    ``rejection`` says why the picture is unfit as a reference of one person.
    """

    embedding: Embedding | None
    rejection: RejectionReason | None


def mean_embedding(embeddings: Sequence[Embedding | None]) -> Embedding:
    """Average what several pictures of one person show: a unit vector, float32 (size,).

    Raises:
        HeadNotFound: none of them shows a head.
    """
    vectors = [vector for vector in embeddings if vector is not None]
    if not vectors:
        raise HeadNotFound(
            "no head was found on the reference pictures; send one that shows a face"
        )
    total = np.sum(vectors, axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)


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
