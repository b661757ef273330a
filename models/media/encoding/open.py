"""Open a film for writing, by its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from models.media.encoding.base import FilmError, FilmSpec, FilmWriter
from models.media.encoding.gif import GifWriter
from models.media.encoding.video import CONTAINER_FORMATS, VideoWriter

Frame = Image | np.ndarray[Any, Any]


def open_film(
    path: Path, spec: FilmSpec, on_finish: Callable[[float], None] | None = None
) -> FilmWriter:
    """The writer for the format that the name asks for: ``.mp4``, ``.webm`` or ``.gif``.

    GIF is written when the film is closed: ``on_finish`` is told how much (0..1) is done, and what
    it raises drops the film.

    Raises:
        FilmError: another name.
        UnsupportedTrack: the format cannot hold the sound, subtitles, chapters or transparency.
    """

    suffix = path.suffix.lower()
    if suffix == ".gif":
        return GifWriter(path, spec, on_finish)
    if suffix.removeprefix(".") in CONTAINER_FORMATS:
        return VideoWriter(path, spec)
    raise FilmError(f"{path.name}: a film is named .mp4, .webm or .gif")
