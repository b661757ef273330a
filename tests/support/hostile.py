"""Pictures and texts that break programs, made here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

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


def float_tiff(values: np.ndarray, orientation: int = 1) -> bytes:  # type: ignore[type-arg]
    """A TIFF of numbers as they are: (height, width) or (height, width, 3), float, int or uint."""
    height, width, *channels = values.shape
    count = channels[0] if channels else 1
    bits, form = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = [
        (256, width), (257, height), (258, bits), (259, 1), (262, 2 if count > 1 else 1), (273, 0),
        (274, orientation), (277, count), (278, height), (279, values.nbytes), (339, form),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    several = count > 1  # of three equal values, kept behind the pixels
    content, extra = b"", b""
    for tag, value in tags:
        if tag == 273:
            value = start
        if several and tag in (258, 339):
            place = start + values.nbytes + len(extra)
            content += struct.pack("<HHII", tag, 3, count, place)
            extra += struct.pack(f"<{count}H", *[value] * count)
        else:
            content += struct.pack("<HHII", tag, 4, 1, value)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + content + bytes(4) + values.tobytes() + extra


def radiance(light: np.ndarray) -> bytes:  # type: ignore[type-arg]
    """A Radiance file of linear ``light`` (height, width, 3), without run lengths."""
    high = np.maximum(light.max(axis=2), 1e-30)
    exponent = np.ceil(np.log2(high * 256 / 255))
    mantissa = np.round(light / 2.0 ** exponent[..., None] * 256).clip(0, 255)
    pixels = np.dstack([mantissa, exponent + 128]).astype(np.uint8)
    size = f"-Y {light.shape[0]} +X {light.shape[1]}\n"
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + size.encode() + pixels.tobytes()


def linear(levels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Levels of sRGB, 0..255, as linear light, 0..1."""
    part = levels / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def _levels() -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(plain(), np.float32) / 255


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
    "avif": lambda: encoded(plain(), "AVIF", quality=90),
    "animated avif": lambda: encoded(
        _frames()[0], "AVIF", save_all=True, append_images=_frames()[1:], quality=90
    ),
    "animated png": lambda: encoded(
        _frames()[0], "PNG", save_all=True, append_images=_frames()[1:]
    ),
    "heic": lambda: Path("tests/support/pictures/plain.heic").read_bytes(),
    "float tiff": lambda: float_tiff(_levels()),
    "double tiff": lambda: float_tiff(_levels().astype(np.float64)),
    "float tiff of 0 to 255": lambda: float_tiff(np.asarray(plain(), np.float32)),
    "float tiff of 16 bits": lambda: float_tiff((_levels() * 65535).round()),
    "16-bit tiff": lambda: float_tiff((_levels() * 65535).astype(np.uint16)),
    "radiance": lambda: radiance(linear(np.asarray(plain()))),
    "lab": lambda: encoded(
        ImageCms.profileToProfile(
            plain(),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        ),
        "TIFF",
    ),
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
    "half a heic": lambda: Path("tests/support/pictures/plain.heic").read_bytes()[:500],
    "half an avif": lambda: encoded(plain(), "AVIF")[:400],
    "half a float tiff": lambda: float_tiff(_levels())[:5000],
    "half a radiance": lambda: radiance(linear(np.asarray(plain())))[:2000],
    "radiance without a size": lambda: b"#?RADIANCE\n" + bytes(200_000),
    "bomb of radiance": lambda: b"#?RADIANCE\n\n-Y 60000 +X 60000\n" + bytes(100),
    "bomb of floats": lambda: float_tiff(np.zeros((4, 4), np.float32)).replace(
        struct.pack("<HHII", 256, 4, 1, 4), struct.pack("<HHII", 256, 4, 1, 2_000_000_000)
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
