"""Define the base class of all film writers: it takes frames and replaces the file atomically."""

from __future__ import annotations

import secrets
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from models.media.png import AI_SOURCE_TYPE
from models.media.sound import Sound
from models.media.subtitles import Cue

Frame = Image | NDArray[np.uint8]


class FilmError(ValueError):
    """The film cannot be written as requested."""


class EmptyFilm(FilmError):
    """The writer was closed before it received a frame."""


class FrameMismatch(FilmError):
    """A frame is not 8-bit RGB or differs in size from the first frame."""


class UnsupportedTrack(FilmError):
    """The format does not support sound, subtitles, chapters or transparency."""


class FilmClosed(RuntimeError):
    """The writer was already closed or aborted."""


@dataclass(frozen=True)
class FilmLabel:
    """Metadata stored in the file: its title, and the ``model`` and ``software`` that made it."""

    title: str
    model: str
    software: str = "Atelier"

    @property
    def comment(self) -> str:
        """Return the label as text for human-readable metadata fields."""
        return f"AI-generated with {self.software}, model {self.model} ({AI_SOURCE_TYPE})"

    def xmp(self) -> bytes:
        """Return the label for tools: IPTC's digital source type in an XMP packet, UTF-8."""
        made_by = escape(f"{self.software} {self.model}")
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about=""'
            ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
            f"<Iptc4xmpExt:DigitalSourceType>{AI_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
            f"<Iptc4xmpExt:AISystemUsed>{made_by}</Iptc4xmpExt:AISystemUsed>"
            '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
        ).encode()


@dataclass(frozen=True)
class Chapter:
    """A chapter; ``start`` and ``end`` in seconds."""

    title: str
    start: float
    end: float


@dataclass(frozen=True)
class FilmSpec:
    """Everything about a film except its frames.

    The frames determine the film's length. Shorter sound is followed by silence; longer sound is
    cut with a fade of 50 ms. Subtitles and chapters are cut at the same point. ``language`` is the
    language of sound and subtitles, ISO 639-2 (three letters). ``crf`` is the constant quality, 0
    (lossless) to 51; ``preset`` is x264's speed, from ``ultrafast`` to ``veryslow``; GIF ignores
    both. With ``alpha`` the frames are RGBA: WebM keeps the transparency, GIF reduces it to one
    bit, MP4 does not support it.
    """

    fps: float | Fraction
    label: FilmLabel
    sound: Sound | None = None
    subtitles: tuple[Cue, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    language: str = "und"
    crf: int = 20
    preset: str = "veryfast"
    alpha: bool = False

    @property
    def rate(self) -> Fraction:
        """Return the exact frame rate in frames per second: 29.97 is 30000/1001."""
        rate = Fraction(self.fps).limit_denominator(1001)
        if rate <= 0:
            raise FilmError(f"a film needs more than {self.fps} frames a second")
        return rate


class FilmWriter(ABC):
    """Encode frames into a film file. Use it as a context manager: an exception aborts the film.

    The writer encodes frames as they arrive into a hidden file beside ``path`` and renames it once
    everything is written. An aborted or forgotten writer removes the hidden file; only a killed
    process leaves it behind (``.NAME.*.part``).
    """

    def __init__(self, path: Path, spec: FilmSpec) -> None:
        self.path, self.spec = path, spec
        self.frames = 0  # written so far
        self._rate = spec.rate
        self._frame_shape: tuple[int, ...] | None = None
        self._partial_path = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._remove_partial = weakref.finalize(self, self._partial_path.unlink, missing_ok=True)

    @property
    def seconds(self) -> float:
        """Return the film's length so far in seconds."""
        return float(self.frames / self._rate)

    def write(self, frame: Frame) -> None:
        """Append one frame: a PIL image, or uint8 (height, width, 3) in RGB; 4 channels with
        ``alpha``.

        Raises:
            FrameMismatch: the frame has another type, or another size than the first one.
        """
        if not self._remove_partial.alive:
            raise FilmClosed(f"{self.path.name} is closed: it takes no more frames")
        pixels = frame_pixels(frame, alpha=self.spec.alpha)
        if self._frame_shape is None:
            self._begin(pixels.shape[0], pixels.shape[1])
            self._frame_shape = pixels.shape
        elif pixels.shape != self._frame_shape:
            (height, width), (rows, columns) = self._frame_shape[:2], pixels.shape[:2]
            raise FrameMismatch(f"frame {self.frames} is {columns}x{rows}, not {width}x{height}")
        self.frames += 1
        self._add(pixels)

    def close(self) -> None:
        """Finish the film and rename it to its path.

        Raises:
            EmptyFilm: the film has no frame; no file is left behind.
        """
        if not self._remove_partial.alive:
            return
        try:
            if self._frame_shape is None:
                raise EmptyFilm("a film needs at least one frame")
            self._finish()
            self._partial_path.replace(self.path)
        except BaseException:
            self.abort()
            raise
        self._remove_partial.detach()

    def abort(self) -> None:
        """Abort the film and remove its file."""
        if self._remove_partial.alive:
            try:
                self._drop()
            finally:
                self._remove_partial()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @abstractmethod
    def _begin(self, height: int, width: int) -> None:
        """Open the output; called once, before the first frame."""

    @abstractmethod
    def _add(self, pixels: NDArray[np.uint8]) -> None:
        """Encode one frame, uint8 (height, width, 3 or 4); ``frames`` already counts it."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the film in the hidden file."""

    @abstractmethod
    def _drop(self) -> None:
        """Release open resources."""


def frame_pixels(frame: Frame, *, alpha: bool = False) -> NDArray[np.uint8]:
    """Convert ``frame`` to contiguous uint8 RGB of shape (height, width, 3), with ``alpha`` RGBA.

    A PIL image is converted: its transparency is dropped, or it becomes fully opaque.

    Raises:
        FrameMismatch: an array has another shape or type.
    """

    if isinstance(frame, Image):
        return np.ascontiguousarray(frame.convert("RGBA" if alpha else "RGB"))
    channels = 4 if alpha else 3
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
        raise FrameMismatch(
            f"a frame is uint8 of height x width x {channels}, not {frame.dtype} of {frame.shape}"
        )
    return np.ascontiguousarray(frame)
