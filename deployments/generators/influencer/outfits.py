"""Outfits: painted onto the person who was drawn, so that words about clothes change no face.

Where the prompt names an outfit, the words and the reference picture pull at the whole picture, and
hair and skin give way. So the person is drawn from the reference alone, and what the parser calls
clothes is then repainted from the whole prompt.
"""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from deployments.generators.common.drawing import DrawImages
from models.diffusion.inpainting import inpaint_region
from models.diffusion.requests import DiffusionRequest
from models.inference.inference import Inference
from models.inference.operations import ParsePerson
from models.profiles.load import Capability, Profile
from models.vision import garments
from models.vision.garments import Category

_UPPER_WORDS = frozenset(
    {
        "shirt", "t-shirt", "tshirt", "tee", "top", "blouse", "sweater", "jumper", "pullover",
        "hoodie", "jacket", "cardigan", "vest", "sweatshirt", "polo", "turtleneck", "blazer",
    }
)  # fmt: skip
_LOWER_WORDS = frozenset(
    {"trousers", "pants", "jeans", "skirt", "shorts", "leggings", "chinos", "slacks"}
)


def garment_category(outfit: str) -> Category:
    """What an outfit in words covers: all clothes, unless it names only above or only below."""
    words = {word.strip(".,;:!?'\"()") for word in outfit.lower().split()}
    above, below = (
        any(word in names or word.removesuffix("s") in names for word in words)
        for names in (_UPPER_WORDS, _LOWER_WORDS)
    )
    if above == below:
        return "dress"
    return "upper" if above else "lower"


def can_repaint_outfits(profile: Profile) -> bool:
    """Whether ``profile`` finds clothes, and paints inside a mask."""
    return {Capability.INPAINT, Capability.HUMAN_PARSING} <= profile.capabilities.keys()


def repaint_outfit(
    drawn: Image.Image,
    outfit: str,
    wanted: DiffusionRequest,
    inference: Inference,
    draw: DrawImages,
) -> Image.Image | None:
    """``drawn`` in ``outfit``, which ``wanted.prompt`` names; all but clothes stays as it is.

    ``None`` if no single dressed person is seen on it.
    """
    parsed = inference.run(ParsePerson(drawn))
    category = garment_category(outfit)
    if parsed.rejection_reason(category) is not None:
        category = "dress"  # a shirt for somebody who was drawn in a dress
    if parsed.rejection_reason(category) is not None:
        return None
    where = garments.garment_mask(parsed, category)
    plain = replace(
        wanted,
        image=drawn,
        mask=Image.fromarray(where.astype("uint8") * 255),
        person=None,
        scale=None,
        count=1,
    )
    (made,) = inpaint_region(inference.profile, draw, plain, (0, 0, *drawn.size))
    return made
