"""Outfits: painted onto the person who was drawn, so that words about clothes change no face.

Where the prompt names an outfit, the words and the reference picture pull at the whole picture, and
hair and skin give way. So the person is drawn from the reference alone, and what the parser calls
clothes is then repainted from the whole prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models import garments
from models.diffusion.pictures import Pictures
from models.diffusion.region import repaint
from models.diffusion.requests import OnStep, PictureRequest
from models.parsing import HumanParser, Parsed
from models.profiles import Capability, Profile
from models.residency import Loadable, Residency

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Dressing:
    """The means to repaint clothes; made only where the profile has them."""

    profile: Profile
    pictures: Pictures
    residency: Residency

    @classmethod
    def of(cls, profile: Profile, pictures: Pictures, residency: Residency) -> Dressing | None:
        """``None`` where the profile cannot paint inside a mask, or does not find clothes."""
        needed = {Capability.INPAINT, Capability.HUMAN_PARSING}
        if not needed <= profile.capabilities.keys():
            return None
        return cls(profile, pictures, residency)

    def dressed(
        self, drawn: Image, wanted: PictureRequest, on_step: OnStep | None = None
    ) -> Image | None:
        """``drawn`` in the clothes that ``wanted.prompt`` names; all but clothes stays as it is.

        ``None`` if no single dressed person is seen on it.
        """
        from PIL import Image as Pillow

        parsed = self._parsed(drawn)
        if parsed.unusable("dress") is not None:
            return None
        where = garments.region(parsed, "dress")
        plain = replace(
            wanted,
            image=drawn,
            mask=Pillow.fromarray(where.astype("uint8") * 255),
            person=None,
            scale=None,
            count=1,
        )
        (made,) = repaint(self.pictures, plain, on_step, (0, 0, *drawn.size))
        return made

    def _parsed(self, picture: Image) -> Parsed:
        model = self.profile.model(Capability.HUMAN_PARSING)
        parser = Loadable(
            "human_parsing", model.memory,
            lambda: HumanParser.read(self.profile), HumanParser.place,
        )  # fmt: skip
        return self.residency.run(parser, lambda loaded: loaded.parse(picture))
