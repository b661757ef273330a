"""Posters: one frame of a film as a picture file that says who made it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from models.media.encoding.base import FilmLabel, Frame, frame_pixels
from models.media.png import ImageMetadata, encode_png
from models.media.probe import probe, read_frames

_CANDIDATES = 7


def encode_poster(
    frame: Frame, metadata: ImageMetadata, kind: Literal["png", "jpeg"] = "jpeg"
) -> bytes:
    """``frame`` as PNG with all of ``metadata``, or as JPEG with the AI label and the model.

    A PNG keeps the transparency of an RGBA frame.

    Raises:
        FrameMismatch: the frame is no 8-bit RGB picture (RGBA for PNG).
    """

    clear = kind == "png" and not isinstance(frame, Image.Image) and frame.shape[2:] == (4,)
    image = Image.fromarray(frame_pixels(frame, alpha=clear))
    if kind == "png":
        return encode_png(image, metadata)
    label = FilmLabel(metadata.prompt, metadata.model, metadata.software)
    out = io.BytesIO()
    image.save(
        out, "JPEG", quality=92, subsampling=0, xmp=label.xmp(), comment=label.comment.encode()
    )
    return out.getvalue()


def read_frame_at(path: Path, seconds: float | None = None) -> np.ndarray[Any, Any]:
    """The frame shown at ``seconds`` (the last one, if the film is over by then).

    Without a time it is the one of greatest contrast out of a few spread over the film, so that a
    poster is not the black that a film fades in from.

    Raises:
        UnreadableVideo: the file is no film, or holds no frame.
    """
    info = probe(path)
    count = max(1, round(info.duration * info.fps))
    if seconds is not None:
        wanted = {min(max(0, int(seconds * info.fps)), count - 1)}
    else:
        wanted = {(2 * part + 1) * count // (2 * _CANDIDATES) for part in range(_CANDIDATES)}
    best: np.ndarray[Any, Any] | None = None
    for number, frame in enumerate(read_frames(path)):
        if best is None or (number in wanted and (len(wanted) == 1 or frame.std() > best.std())):
            best = frame
        if number >= max(wanted):
            break
    assert best is not None  # probe() has found a picture, read_frames() raises if it is broken
    return best
