"""Choose the film writer for a file format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.media.encoding.base import FilmError, FilmSpec, FilmWriter
from models.media.encoding.gif import GifWriter
from models.media.encoding.video import CONTAINER_FORMATS, VideoWriter


def open_film(
    path: Path, spec: FilmSpec, on_finish: Callable[[float], None] | None = None
) -> FilmWriter:
    """Open the writer for the extension of ``path``: ``.mp4``, ``.webm`` or ``.gif``.

    A GIF is written when the film is closed: the writer calls ``on_finish`` with the completed
    fraction (0..1); an exception from it aborts the film.

    Raises:
        FilmError: the extension is another one.
        UnsupportedTrack: the format lacks sound, subtitles, chapters or transparency.
    """

    suffix = path.suffix.lower()
    if suffix == ".gif":
        return GifWriter(path, spec, on_finish)
    if suffix.removeprefix(".") in CONTAINER_FORMATS:
        return VideoWriter(path, spec)
    raise FilmError(f"{path.name}: a film is named .mp4, .webm or .gif")
