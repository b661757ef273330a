"""Outfits: painted onto the person who was drawn, so that words about clothes change no face.

Where the prompt names an outfit, the words and the reference picture pull at the whole picture, and
hair and skin give way. So the person is drawn from the reference alone, and what the parser calls
clothes is then repainted from the whole prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.inpainting import inpaint_region
from models.diffusion.requests import DiffusionRequest, OnStep
from models.memory.cache import ModelCache
from models.profiles.load import Capability, Profile
from models.vision import garments
from models.vision.garments import Category
from models.vision.human_parser import HumanParser
from models.vision.human_parsing import HumanParse

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


@dataclass(frozen=True)
class OutfitPainter:
    """The means to repaint clothes; made only where the profile has them."""

    profile: Profile
    image_pipeline: ImagePipeline
    model_cache: ModelCache

    @classmethod
    def for_profile(
        cls, profile: Profile, pictures: ImagePipeline, model_cache: ModelCache
    ) -> OutfitPainter | None:
        """``None`` where the profile cannot paint inside a mask, or does not find clothes."""
        needed = {Capability.INPAINT, Capability.HUMAN_PARSING}
        if not needed <= profile.capabilities.keys():
            return None
        return cls(profile, pictures, model_cache)

    def paint(
        self,
        drawn: Image.Image,
        outfit: str,
        wanted: DiffusionRequest,
        on_step: OnStep | None = None,
    ) -> Image.Image | None:
        """``drawn`` in ``outfit``, which ``wanted.prompt`` names; all but clothes stays as it is.

        ``None`` if no single dressed person is seen on it.
        """

        parsed = self._parse(drawn)
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
        (made,) = inpaint_region(self.image_pipeline, plain, on_step, (0, 0, *drawn.size))
        return made

    def _parse(self, picture: Image.Image) -> HumanParse:
        parser = HumanParser.loader(self.profile)
        return self.model_cache.run(parser, lambda loaded: loaded.parse(picture))
