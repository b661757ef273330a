"""Pictures that come from outside: opened with bounds, turned upright, made plain RGB."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from models.media.png import (
    ImageMetadata,
    encode_png,
    xmp_packet,
)

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


MAX_PIXELS = 40_000_000


MAX_SIDE = 16_384


class UnreadableImage(ValueError):
    """The file is no picture of a known format, is cut short, or is too large; its message says."""


def read_image(path: Path, *, alpha: bool = False) -> Image.Image:
    """The picture in ``path``, upright as its EXIF says: RGB over white, or RGBA with ``alpha``.

    Of an animated file the first frame. 16-bit and CMYK pictures are converted. The header is
    checked before a pixel is decoded, so that a small file cannot fill the memory.

    Raises:
        UnreadableImage: see there.
    """

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
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


def _to_rgb(picture: Image.Image, alpha: bool) -> Image.Image:

    if picture.mode.startswith("I") or picture.mode == "F":
        # Pillow clips 16 bits to 8 instead of scaling them. Wider modes do not say their depth.
        _, high = picture.getextrema()
        deep = picture.mode.startswith("I;16") or float(high) > 255  # type: ignore[arg-type]
        divisor = 256 if deep else 1
        picture = picture.convert("F").point(lambda value: value / divisor).convert("L")
    clear = picture.convert("RGBA")
    if alpha:
        return clear
    ground = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(ground, clear).convert("RGB")


ImageFormat = Literal["png", "jpeg", "webp"]


CONTENT_TYPES: dict[ImageFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}


_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286


_UNICODE = b"UNICODE\0"  # Exif 2.32, 4.6.5: the comment's character code, eight bytes


def encode_image(
    image: Image.Image, metadata: ImageMetadata, form: ImageFormat, quality: int = 90
) -> bytes:
    """``image`` (RGB, or RGBA but for JPEG) as a file. ``quality`` is 1..100; PNG loses nothing.

    PNG carries the metadata as text chunks, JPEG and WebP as JSON in the Exif user comment; all
    carry the IPTC label of AI-made media in an XMP packet.
    """
    if form == "png":
        return encode_png(image, metadata)
    exif = Image.Exif()
    comment = json.dumps(asdict(metadata), ensure_ascii=False).encode("utf-16-be")
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _UNICODE + comment
    out = io.BytesIO()
    packet = xmp_packet(metadata).encode()
    if form == "jpeg":
        image.convert("RGB").save(out, "JPEG", quality=quality, exif=exif, xmp=packet)
    else:
        image.save(out, "WEBP", quality=quality, exif=exif.tobytes(), xmp=packet)
    return out.getvalue()
