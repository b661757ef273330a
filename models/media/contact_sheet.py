"""Join images into one row."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image


def side_by_side(pictures: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Paste ``pictures`` in a row on white, ``gap`` pixels apart; return RGB at the first one's
    height.
    """

    height = pictures[0].height
    fitted = [
        picture.convert("RGB")
        if picture.height == height
        else picture.convert("RGB").resize((round(picture.width * height / picture.height), height))
        for picture in pictures
    ]
    width = sum(picture.width for picture in fitted) + gap * (len(fitted) - 1)
    row = Image.new("RGB", (width, height), "white")
    x_offset = 0
    for picture in fitted:
        row.paste(picture, (x_offset, 0))
        x_offset += picture.width + gap
    return row
