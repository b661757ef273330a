"""Files of a set: its pictures with their likeness inside, and all of them on one sheet."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL = 240  # pixels: each picture is scaled into a square of that size
LINE = 22
GAP = 12
PAPER, INK, WARNING = (250, 250, 248), (40, 40, 40), (190, 60, 40)
_AFTER_HEADER = 8 + 25  # the PNG signature and IHDR, always of this length


def add_likeness_chunk(png: bytes, likeness: float) -> bytes:
    """``png`` with one more text chunk, ``Likeness``.

    An iTXt chunk of the PNG Specification (W3C, third edition), 11.3.3.3.
    """
    body = b"iTXt" + b"Likeness\0\0\0\0\0" + f"{likeness:.4f}".encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_AFTER_HEADER] + chunk + png[_AFTER_HEADER:]


def contact_sheet(
    pictures: Sequence[Image.Image], scores: Sequence[float], threshold: float
) -> Image.Image:
    """All pictures, numbered from 1, with their likeness; those under ``threshold`` in red."""

    columns = min(len(pictures), 4)
    rows = -(-len(pictures) // columns)
    size = (GAP + columns * (CELL + GAP), GAP + rows * (CELL + LINE + GAP))
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (picture, score) in enumerate(zip(pictures, scores, strict=True)):
        left = GAP + number % columns * (CELL + GAP)
        top = GAP + number // columns * (CELL + LINE + GAP)
        small = ImageOps.contain(picture, (CELL, CELL))
        at = (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2)
        sheet.paste(small, at)
        words = f"{number + 1}   likeness {score:.2f}"
        pen.text((left, top + CELL + 3), words, INK if score >= threshold else WARNING, font)
    return sheet
