"""Read uploaded images within limits, and encode images with metadata."""

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
    """The file is truncated, too large, or in no supported format; the message says which."""


def read_image(path: Path, *, alpha: bool = False) -> Image.Image:
    """Decode the image in ``path`` and apply its EXIF orientation.

    The result is RGB, composited over white, or RGBA with ``alpha``. An animated file gives its
    first frame. 16-bit and CMYK images are converted. The header is checked before any pixel is
    decoded, so that a small file cannot exhaust the memory.

    Raises:
        UnreadableImage: the file is truncated, too large, or no image of a supported format.
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
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


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
    """Encode ``image`` (RGB; RGBA too, except for JPEG) as a file of format ``form``.

    ``quality`` is 1..100; PNG is always lossless. PNG stores the metadata as text chunks, JPEG and
    WebP as JSON in the Exif user comment. All formats carry the IPTC label for AI-generated media
    in an XMP packet.
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
