"""Pictures that come from outside: opened with bounds, turned upright, made plain RGB."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_384


class UnreadableImage(ValueError):
    """The file is no picture of a known format, is cut short, or is too large; its message says."""


def read_image(path: Path, *, alpha: bool = False) -> Image:
    """The picture in ``path``, upright as its EXIF says: RGB over white, or RGBA with ``alpha``.

    Of an animated file the first frame. 16-bit and CMYK pictures are converted. The header is
    checked before a pixel is decoded, so that a small file cannot fill the memory.

    Raises:
        UnreadableImage: see there.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            with Pillow.open(path, formats=FORMATS) as opened:
                _check_size(*opened.size)
                opened.load()
                upright = ImageOps.exif_transpose(opened)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnreadableImage("this is no picture, or it is damaged") from error
    return _to_rgb(upright, alpha)


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"a picture of {width}x{height} is too large:"
            f" at most {MAX_SIDE} pixels a side and {MAX_PIXELS // 1_000_000} megapixels"
        )


def _to_rgb(picture: Image, alpha: bool) -> Image:
    from PIL import Image as Pillow

    if picture.mode.startswith("I") or picture.mode == "F":
        # Pillow clips 16 bits to 8 instead of scaling them. Wider modes do not say their depth.
        _, high = picture.getextrema()
        deep = picture.mode.startswith("I;16") or float(high) > 255  # type: ignore[arg-type]
        divisor = 256 if deep else 1
        picture = picture.convert("F").point(lambda value: value / divisor).convert("L")
    clear = picture.convert("RGBA")
    if alpha:
        return clear
    ground = Pillow.new("RGBA", clear.size, "white")
    return Pillow.alpha_composite(ground, clear).convert("RGB")
