"""Pictures and texts that break programs, made here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIZE = (96, 64)


def plain() -> Image.Image:
    """Red on the left, blue on the right, white on top: a turn or a change of colours shows."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, : SIZE[0] // 2] = (200, 0, 0)
    pixels[:, SIZE[0] // 2 :] = (0, 0, 200)
    pixels[:8] = 255
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    into = io.BytesIO()
    picture.save(into, kind, **options)
    return into.getvalue()


def _frames() -> list[Image.Image]:
    return [plain(), *(Image.new("RGB", SIZE, colour) for colour in ("green", "yellow"))]


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    return encoded(plain().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def _sixteen_bits() -> bytes:
    grey = np.asarray(plain().convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(width: int, height: int) -> bytes:
    """A PNG of some kilobytes at most whose header promises ``width`` x ``height`` pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(4_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", rows)
        + png_chunk(b"IEND", b"")
    )


def _text_bomb() -> bytes:
    """A small picture with a compressed comment of 100 MB."""
    png = encoded(plain(), "PNG")
    comment = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    return png[:33] + comment + png[33:]


# What shows the same as `plain` once it is read.
HARMLESS: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(plain(), "PNG"),
    "animated gif": lambda: encoded(
        _frames()[0], "GIF", save_all=True, append_images=_frames()[1:]
    ),
    "animated webp": lambda: encoded(
        _frames()[0], "WEBP", save_all=True, append_images=_frames()[1:], lossless=True
    ),
    "cmyk": lambda: encoded(plain().convert("CMYK"), "JPEG", quality=95),
    "palette": lambda: encoded(plain().convert("P"), "PNG"),
    "turned by exif": _turned,
    "polyglot": lambda: encoded(plain(), "PNG") + b"PK\x03\x04<script>alert(1)</script>" * 100,
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "words": lambda: b"these are words",
    "script": lambda: (
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    ),
    "half a png": lambda: encoded(plain(), "PNG")[:150],
    "half a jpeg": lambda: encoded(plain(), "JPEG")[:400],
    "head alone": lambda: encoded(plain(), "PNG")[:40],
    "bomb": lambda: bomb(60_000, 60_000),
    "long bomb": lambda: bomb(1, 500_000),
    "bomb of text": _text_bomb,
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
    "animated header alone": lambda: b"GIF89a" + bytes(7),
}
SIXTEEN_BITS = _sixteen_bits

TEXTS = {
    "right to left": "سماء زرقاء فوق البحر שלום עולם",
    "cjk": "夕暮れの海辺を歩く女性。天空很蓝 한국어",
    "emoji": "👩🏽‍🚀 on the 🏖️ with 🏳️‍🌈 and 👨‍👩‍👧‍👦",
    "marks": "Z̷̢̛̤͔̹a̸͖̓l̴̠̈́g̶͇̈o \u202eturned\u202c \u200bnothing\u200b \ufeff",
    "typst": '#read("/etc/passwd") #import "/etc/passwd": * $ #eval("1") $ \\input{/etc/passwd}',
    "paths": "../../../../etc/passwd ..\\..\\boot.ini file:///etc/passwd ~/.ssh/id_rsa",
    "shell": "`id` $(id) ; rm -rf / | %{eif:1:d} ' \" <script>alert(1)</script>",
    "control": "a\x07b\x1b[31mc\x0bd",
}
