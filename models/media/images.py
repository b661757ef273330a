"""Read uploaded images within limits, and encode images with metadata."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Literal

import pillow_heif
from PIL import Image, ImageOps

from models.media.color import srgb_profile, to_srgb
from models.media.deep_images import UnreadableDeepImage, gray_to_eight_bits, read_deep_image
from models.media.png import (
    ImageMetadata,
    encode_png,
    xmp_packet,
)

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")


MAX_PIXELS = 40_000_000


MAX_SIDE = 16_384


class UnreadableImage(ValueError):
    """The file is truncated, too large, or in no supported format; the message says which."""


def read_image(path: Path, *, alpha: bool = False) -> Image.Image:
    """Decode the image in ``path``, apply its EXIF orientation, and convert it to sRGB.

    The result is RGB, composited over white, or RGBA with ``alpha``. It has no profile and no
    other note of the file. An animated file gives its first frame. Embedded ICC profiles are
    applied; deeper channels are scaled to 8 bits, and light without an upper end is tone-mapped.
    The header is checked before any pixel is decoded, so that a small file cannot exhaust the
    memory.

    Raises:
        UnreadableImage: the file is truncated, too large, or no image of a supported format.
    """

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = read_deep_image(path) or _read_with_pillow(path)
            return _to_rgb(picture, alpha)
    except UnreadableImage:
        raise
    except UnreadableDeepImage as error:
        raise UnreadableImage(str(error)) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnreadableImage("this is no picture, or it is damaged") from error


def _read_with_pillow(path: Path) -> Image.Image:
    _register_heif()
    with Image.open(path, formats=FORMATS) as opened:
        _check_size(*opened.size)
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        return opened


@cache
def _register_heif() -> None:
    pillow_heif.register_heif_opener()


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"a picture of {width}x{height} is too large:"
            f" at most {MAX_SIDE} pixels a side and {MAX_PIXELS // 1_000_000} megapixels"
        )


def _to_rgb(picture: Image.Image, alpha: bool) -> Image.Image:

    if picture.mode.startswith("I"):
        profile = picture.info.get("icc_profile")
        picture = gray_to_eight_bits(picture)
        picture.info["icc_profile"] = profile
    picture = to_srgb(picture)
    if alpha or picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = clear if alpha else Image.alpha_composite(_white(clear.size), clear)
    done = picture if alpha else picture.convert("RGB")
    done.info.clear()
    return done


def _white(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGBA", size, "white")


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
    in an XMP packet, and say that their colors are sRGB.
    """
    if form == "png":
        return encode_png(image, metadata)
    exif = Image.Exif()
    comment = json.dumps(asdict(metadata), ensure_ascii=False).encode("utf-16-be")
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _UNICODE + comment
    out = io.BytesIO()
    packet = xmp_packet(metadata).encode()
    icc = srgb_profile()
    if form == "jpeg":
        image.convert("RGB").save(
            out, "JPEG", quality=quality, exif=exif, xmp=packet, icc_profile=icc
        )
    else:
        image.save(out, "WEBP", quality=quality, exif=exif.tobytes(), xmp=packet, icc_profile=icc)
    return out.getvalue()
