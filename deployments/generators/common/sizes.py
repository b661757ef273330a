"""How large a picture of some aspect is drawn, and what is cut off where the model draws no such
size."""

from __future__ import annotations

from PIL.Image import Image

from models.diffusion.sizes import size_of_aspect, usual_size
from models.profiles.load import Capability, Profile

GRID = 16  # what every pipeline's latents divide by
FILM_SIDES = (360, 1080)  # of the shorter side, in pixels
FILM_LONGEST = 1920


def aspect_ratio(aspect: str) -> float:
    """``16:9`` as width over height."""
    width, height = aspect.split(":")
    return int(width) / int(height)


def drawn_size(profile: Profile, aspect: str | None) -> tuple[int, int]:
    """Width and height in pixels: the profile's area in that aspect, inside what it draws."""
    if aspect is None:
        return usual_size(profile, Capability.IDENTITY)
    return size_of_aspect(profile, Capability.IDENTITY, aspect_ratio(aspect), GRID)


def crop_to_aspect(picture: Image, aspect: str | None) -> Image:
    """``picture`` in exactly that aspect, to a pixel: the sides go alike, and of the height the
    lower part, since heads are above."""
    if aspect is None:
        return picture
    wide, high, wanted = picture.width, picture.height, aspect_ratio(aspect)
    width, height = (round(high * wanted), high) if wide / high > wanted else (wide, wide / wanted)
    width, height = min(round(width), wide), min(round(height), high)
    left, top = (wide - width) // 2, (high - height) // 10
    return picture.crop((left, top, left + width, top + height))


def film_size(aspect: str, shorter: int) -> tuple[int, int]:
    """Even width and height of a film; ``shorter`` is the shorter side of the pictures in it."""
    wanted = aspect_ratio(aspect)
    longest = max(wanted, 1 / wanted)
    side = min(max(shorter, FILM_SIDES[0]), FILM_SIDES[1], FILM_LONGEST / longest)
    width, height = (side * wanted, side) if wanted > 1 else (side, side / wanted)
    return 2 * round(width / 2), 2 * round(height / 2)
