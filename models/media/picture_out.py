"""Pictures as files: PNG, JPEG or WebP, each saying how it was made and that a machine made it."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Literal

from PIL import Image

from models.media.png import (
    ImageMetadata,
    NotLabeled,
    encode_png,
    has_ai_label,
    read_png_metadata,
    xmp_packet,
)

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


def read_image_metadata(data: bytes) -> ImageMetadata:
    """What :func:`encode_image` wrote.

    Raises:
        NotLabeled: the file is none of ours.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.format == "PNG":
            return read_png_metadata(data)
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
        packet = image.info.get("xmp", b"")
    if not comment.startswith(_UNICODE) or not has_ai_label(packet.decode("utf-8", "replace")):
        raise NotLabeled("the file has no comment or no label of ours")
    return ImageMetadata(**json.loads(comment.removeprefix(_UNICODE).decode("utf-16-be")))
