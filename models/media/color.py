"""Convert pictures to sRGB by their ICC profiles, and tag files as sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from models.media.png_colors import profile_of_png

# The modes of Pillow that a profile of each color space can belong to.
_MODES = {
    "RGB": {"RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "L", "LA", "La", "1"},
    "GRAY": {"L", "LA", "La", "1"},
    "CMYK": {"CMYK"},
    "Lab": {"LAB"},
}
_WORKING_MODE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
# A difference that comes of rounding, in levels of 255.
_ROUNDING = 2
_DATE = slice(24, 36)  # of a profile's header


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB; always the same bytes, so that equal pictures are equal files.

    LittleCMS writes the time into the header.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[_DATE] = bytes.fromhex("07d0 0001 0001 0000 0000 0000")  # 2000-01-01
    return bytes(made)


def to_srgb(picture: Image.Image) -> Image.Image:
    """Convert ``picture`` to sRGB by the profile that it carries, or a PNG's gamma and primaries.

    The result is RGB, or RGBA if the picture has transparency. Without a profile, or with one that
    is damaged or of another color space, the picture comes back as it is, as in browsers. So does
    one whose profile is sRGB but for rounding: its pixels are kept exactly.
    """
    if picture.mode == "LAB":
        return _transform(picture, ImageCms.createProfile("LAB"), "LAB")
    icc = picture.info.get("icc_profile") or profile_of_png(picture.info)
    if not icc:
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        if picture.mode not in _MODES.get(space, ()):
            return picture
        alpha = None
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            alpha = picture.getchannel("A")
        mode = _WORKING_MODE[space]
        done = _transform(picture.convert(mode), profile, mode)
    except (ImageCms.PyCMSError, OSError):
        return picture
    if alpha is not None:
        done.putalpha(alpha)
    return done


def _transform(picture: Image.Image, profile: object, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(
        profile,  # type: ignore[arg-type]
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB" and _changes_nothing(transform):
        return picture
    done = ImageCms.applyTransform(picture, transform)
    assert done is not None  # it is None where the picture itself is changed
    return done


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.linspace(0, 255, 17).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, -1, 3)
    done = ImageCms.applyTransform(Image.fromarray(grid), transform)
    return int(np.abs(np.asarray(done, int) - grid).max()) <= _ROUNDING
