"""Extract one frame of a film and encode it as a labeled image file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.media.color import srgb_profile
from models.media.encoding.base import FilmLabel, Frame, frame_pixels
from models.media.png import ImageMetadata, encode_png
from models.media.probe import probe, read_frames

_CANDIDATES = 7


def encode_poster(
    frame: Frame, metadata: ImageMetadata, kind: Literal["png", "jpeg"] = "jpeg"
) -> bytes:
    """Encode ``frame`` as PNG with all of ``metadata``, or as JPEG with the AI label and the model.

    ``frame`` is a PIL image or a uint8 array (height, width, 3) in RGB. A PNG also accepts RGBA (4
    channels) and keeps its transparency.

    Raises:
        FrameMismatch: the frame is no 8-bit RGB image (RGBA for PNG).
    """

    clear = kind == "png" and not isinstance(frame, Image.Image) and frame.shape[2:] == (4,)
    image = Image.fromarray(frame_pixels(frame, alpha=clear))
    if kind == "png":
        return encode_png(image, metadata)
    label = FilmLabel(metadata.prompt, metadata.model, metadata.software)
    out = io.BytesIO()
    image.save(
        out,
        "JPEG",
        quality=92,
        subsampling=0,
        xmp=label.xmp(),
        comment=label.comment.encode(),
        icc_profile=srgb_profile(),
    )
    return out.getvalue()


def read_frame_at(path: Path, seconds: float | None = None) -> NDArray[np.uint8]:
    """Read the frame at ``seconds``, or the last frame if the film ends earlier.

    The result is uint8 RGB of shape (height, width, 3). Without a time, the function samples a few
    frames over the film and returns the one with the greatest contrast, so that a poster is not the
    black frame of a fade-in.

    Raises:
        UnreadableVideo: the file is no film or has no frame.
    """
    info = probe(path)
    count = max(1, round(info.duration * info.fps))
    if seconds is not None:
        numbers = {min(max(0, int(seconds * info.fps)), count - 1)}
    else:
        numbers = {(2 * part + 1) * count // (2 * _CANDIDATES) for part in range(_CANDIDATES)}
    best: NDArray[np.uint8] | None = None
    for number, frame in enumerate(read_frames(path)):
        if best is None or (number in numbers and (len(numbers) == 1 or frame.std() > best.std())):
            best = frame
        if number >= max(numbers):
            break
    assert best is not None  # probe() has found a picture, read_frames() raises if it is broken
    return best
