"""Who is to be drawn: the reference pictures, looked at before anything is drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL.Image import Image

from deployments.contract import BadInput, Context
from deployments.generators.common.input_images import read_input_image
from deployments.generators.influencer.spec import Who
from models.inference.inference import Inference
from models.inference.operations import LookAtPerson
from models.media.images import UnreadableImage, read_image


@dataclass(frozen=True)
class ReferenceImage:
    """One picture of the person, and what a message calls it."""

    name: str
    image: Image


@dataclass(frozen=True, eq=False)
class Person:
    """``reference`` is shown to the model that draws: it takes one picture, and gets the one most
    like all of them. ``known`` is what all of them have in common; results are compared with it.
    """

    description: str
    reference: ReferenceImage
    reference_embedding: Any
    rejected: dict[str, str] = field(default_factory=dict)  # name of a reference: why


def read_references(who: Who, context: Context) -> list[ReferenceImage]:
    """The pictures of the persona or of the request.

    Raises:
        BadInput: one cannot be read.
    """
    if who.reference_images is not None:
        names = [f"person.reference_images.{i}" for i in range(len(who.reference_images))]
        return [ReferenceImage(name, read_input_image(context, name)) for name in names]
    persona = context.personas[str(who.persona_id)]
    found = []
    for number, path in enumerate(persona.images, start=1):
        name = f"picture {number} of the persona"
        try:
            found.append(ReferenceImage(name, read_image(path)))
        except UnreadableImage as error:
            raise BadInput(f"{name}: {error}.", code="unreadable_image") from error
    return found


def description_of(who: Who, context: Context) -> str:
    """The person in words; empty if nobody said any."""
    if who.description is not None or who.persona_id is None:
        return who.description or ""
    return context.personas[str(who.persona_id)].description


def select_reference(
    references: list[ReferenceImage], description: str, inference: Inference
) -> Person:
    """Choose among ``references``; those that do not show one person are left out.

    Raises:
        BadInput: none of them shows one.
    """

    vectors, usable, left_out, code = [], [], {}, "no_person"
    for reference in references:
        look = inference.run(LookAtPerson(reference.image))
        unusable = look.rejection
        if unusable is not None or look.embedding is None:
            left_out[reference.name] = unusable.message if unusable else "no face was found"
            code = unusable.value if unusable else code
        else:
            vectors.append(look.embedding)
            usable.append(reference)
    if not usable:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise BadInput(f"{reasons or 'the persona has no pictures'}.", code=code)
    total = np.sum(vectors, axis=0)
    typical = max(range(len(usable)), key=lambda i: float(vectors[i] @ total))
    known = total / max(float(np.linalg.norm(total)), 1e-12)
    return Person(description, usable[typical], known, left_out)
