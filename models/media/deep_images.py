"""Read pictures with more than 8 bits a channel that Pillow clips or does not know.

16-bit gray, 32-bit integers, TIFF of floating-point numbers, and Radiance HDR.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

# Each pixel takes some 30 bytes while it is converted.
MAX_DEEP_PIXELS = 16_000_000
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_RADIANCE_SIZE = re.compile(rb"\n-Y (\d{1,9}) \+X (\d{1,9})\n")
_RADIANCE_HEAD_BYTES = 1 << 16
_WIDTH, _HEIGHT, _BITS, _ORIENTATION, _FORMAT, _PROFILE = 256, 257, 258, 274, 339, 34675
_IS_FLOAT = 3  # of the format
_SHORT = 3  # a type of entries
# Rec. 709, the primaries of sRGB.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_KEY = 0.18  # middle gray
_WHITE_PERCENTILE = 99.5
_DARK = 0.02  # a scene with a lower mean luminance is exposed anew
_MOST_LIGHT = 1e30  # its square root and its sums are still numbers
_ROWS = 256  # converted at a time


class UnreadableDeepImage(ValueError):
    """The file is damaged, too large or of an unusual kind; the message says which."""


def read_deep_image(path: Path) -> Image.Image | None:
    """Read a TIFF of 32-bit or floating-point numbers, or a Radiance file, as 8 bits a channel.

    Returns None for any other file. The result is upright, and has the ICC profile of the file in
    the way Pillow keeps it.

    Raises:
        UnreadableDeepImage: it is damaged, of half floats, or has more than 16 megapixels.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head.startswith(_RADIANCE):
            found = _RADIANCE_SIZE.search(head + file.read(_RADIANCE_HEAD_BYTES))
            if found is None:
                raise UnreadableDeepImage("the Radiance file names no size of the usual form")
            _check_size(int(found[2]), int(found[1]))
            pixels = _decode(path.read_bytes())
            return Image.fromarray(_to_eight_bits(pixels, is_linear=True))
        if not head.startswith(_TIFF):
            return None
        file.seek(0)
        directory = _tiff_directory(file.read(8), file)
        bits = max(directory.get(_BITS, (1,)))
        is_float = _IS_FLOAT in directory.get(_FORMAT, ())
        if bits < 32 and not is_float:
            return None
        if bits < 32:
            raise UnreadableDeepImage("a TIFF of 16-bit floating-point numbers: save it with 32")
        _check_size(directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0))
    pixels = _decode(_without_orientation(path.read_bytes()))
    picture = Image.fromarray(_to_eight_bits(pixels, is_linear=False))
    if _PROFILE in directory:
        picture.info["icc_profile"] = bytes(directory[_PROFILE])
    picture.getexif()[_ORIENTATION] = directory.get(_ORIENTATION, 1)
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def gray_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale gray of 16 bits (modes ``I;16...``) or of whole numbers (``I``) to mode ``L``."""
    values = np.asarray(picture.convert("F"))
    if picture.mode.startswith("I;16"):
        return Image.fromarray((values / 257).round().astype(np.uint8))
    return Image.fromarray(_to_eight_bits(values.copy(), is_linear=False))


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_DEEP_PIXELS:
        raise UnreadableDeepImage(
            f"a picture of {width}x{height} with 32 bits a channel is too large:"
            f" at most {MAX_DEEP_PIXELS // 1_000_000} megapixels"
        )


def _tiff_directory(head: bytes, file: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2:
    if head[2] == 43 or head[3] == 43:  # BigTIFF
        head += file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(directory.next)
    directory.load(file)
    return directory


def _without_orientation(content: bytes) -> bytes:
    """Set the orientation of a TIFF to 1: OpenCV turns some, and fails on those on their side."""
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    is_big = 43 in content[2:4]
    start = int.from_bytes(content[8:16] if is_big else content[4:8], order)
    count_bytes, entry_bytes = (8, 20) if is_big else (2, 12)
    count = int.from_bytes(content[start : start + count_bytes], order)
    first = start + count_bytes
    for place in range(first, first + min(count, 1000) * entry_bytes, entry_bytes):
        if int.from_bytes(content[place : place + 2], order) == _ORIENTATION:
            kind = int.from_bytes(content[place + 2 : place + 4], order)
            value = (1).to_bytes(2 if kind == _SHORT else 4, order)
            at = place + entry_bytes - (8 if is_big else 4)
            return content[:at] + value + content[at + len(value) :]
    return content


def _decode(content: bytes) -> NDArray[np.float32]:
    """Return gray (height, width), RGB or RGBA (height, width, 3 or 4), not yet scaled."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableDeepImage("this is no picture, or it is damaged") from error
    if pixels is None or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UnreadableDeepImage("this is no picture, or it is damaged")
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV's order is BGR
    return np.ascontiguousarray(pixels, np.float32)


def _to_eight_bits(values: NDArray[np.float32], *, is_linear: bool) -> NDArray[np.uint8]:
    """Scale ``values`` to 0..255; changes them.

    What they mean is told by ``is_linear`` or else by their range: up to 1 they are levels as a
    screen shows them, whole numbers above are counted in 8, 16, 31 or 32 bits, and anything else
    is light, without an upper end. Light is tone-mapped.
    """
    np.nan_to_num(values, copy=False, nan=0.0, posinf=_MOST_LIGHT, neginf=0.0)
    np.maximum(values, 0, out=values)
    colors = values[..., :3] if values.ndim == 3 else values
    high = float(colors.max(initial=0))
    if not is_linear and high > 1:
        is_linear = high >= 2**32 + 2 or bool((colors != np.floor(colors)).any())
        top = next((top for top in (255, 65535, 2**31, 2**32) if high <= top), 2**32)
        if not is_linear:
            colors /= top
    if is_linear:
        _tone_map(colors)
    if values.ndim == 3 and values.shape[2] == 4 and values[..., 3].max(initial=0) > 1:
        values[..., 3] /= values[..., 3].max()
    np.minimum(values, 1, out=values)
    return (values * 255).round().astype(np.uint8)


def _tone_map(light: NDArray[np.float32]) -> None:
    """Turn linear light into levels of sRGB, 0..1, in place.

    Light that fits a screen (up to 1, and not dark all over) is only encoded. Other light is
    exposed to middle gray, and its highlights are compressed: "Photographic Tone Reproduction for
    Digital Images" (Reinhard et al., 2002), global form.
    """
    np.minimum(light, _MOST_LIGHT, out=light)
    luminance = light if light.ndim == 2 else light @ _LUMINANCE
    lit = luminance[luminance > 0]
    if lit.size and (float(light.max()) > 1 or float(lit.mean()) < _DARK):
        exposure = _KEY / float(np.exp(np.log(lit).mean()))
        white = max(float(np.percentile(lit, _WHITE_PERCENTILE)) * exposure, 1.0)
    else:
        exposure = white = 0.0
    for row in range(0, len(light), _ROWS):
        part = light[row : row + _ROWS]
        if exposure:
            # In double precision: the brightest by the darkest is more than a float holds.
            exposed = luminance[row : row + _ROWS].astype(np.float64) * exposure
            factor = exposure * (1 + exposed / white**2) / (1 + exposed)
            part[:] = np.minimum(part * (factor if part.ndim == 2 else factor[..., None]), 1)
        np.minimum(part, 1, out=part)
        part[:] = np.where(part <= 0.0031308, part * 12.92, 1.055 * part ** (1 / 2.4) - 0.055)
