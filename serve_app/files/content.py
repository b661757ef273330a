"""Detect the media type of a file by its content; names and headers are not trusted.

Only the first bytes are read. The decoder finds out later, within bounds, whether the rest is a
whole picture or sound.
"""

from __future__ import annotations

HEAD_BYTES = 64

_MAGIC_NUMBERS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),  # BigTIFF
    (b"MM\0+", "image/tiff"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"#?RGBE", "image/vnd.radiance"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
# MPEG audio without a tag, and ADTS: eleven set bits, then version and layer.
_MPEG = {0xFB: "audio/mpeg", 0xF3: "audio/mpeg", 0xF2: "audio/mpeg", 0xFA: "audio/mpeg"}
_ADTS = {0xF1: "audio/aac", 0xF9: "audio/aac"}
# The brands of HEIF files. "mif1" and "msf1" say only that the file
# holds pictures; how they are coded is told by the brands that follow.
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif",
    b"heic": "image/heic", b"heix": "image/heic", b"heim": "image/heic", b"heis": "image/heic",
    b"hevc": "image/heic", b"hevx": "image/heic", b"hevm": "image/heic", b"hevs": "image/heic",
}  # fmt: skip
_PICTURES = (b"mif1", b"msf1", b"mif2", b"miaf")
_SUFFIXES = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/bmp": ".bmp",
    "image/tiff": ".tiff", "image/webp": ".webp", "image/avif": ".avif", "image/heic": ".heic",
    "image/vnd.radiance": ".hdr", "audio/flac": ".flac", "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3", "audio/aac": ".aac", "audio/wav": ".wav", "audio/mp4": ".m4a",
}  # fmt: skip


def content_type_of(head: bytes) -> str | None:
    """Return the media type of a file that begins with ``head``; None if it is not accepted."""
    for start, content_type in _MAGIC_NUMBERS:
        if head.startswith(start):
            return content_type
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _type_of_brands(head)
    if len(head) > 1 and head[0] == 0xFF:
        return (_MPEG | _ADTS).get(head[1])
    return None


def _type_of_brands(head: bytes) -> str | None:
    major = head[8:12]
    if major[:3] in (b"M4A", b"M4B"):
        return "audio/mp4"
    if major not in _PICTURES:
        return _BRANDS.get(major)
    end = min(int.from_bytes(head[:4]), len(head))
    brands = [head[start : start + 4] for start in range(16, end - 3, 4)]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def kind_of(content_type: str) -> str:
    """Return the first part of a media type: ``image``, ``audio``, ..."""
    return content_type.partition("/")[0]


def suffix_of(content_type: str) -> str:
    return _SUFFIXES.get(content_type, "")
