"""What every film writer shares: frames come one by one, the file appears whole or not at all."""

from __future__ import annotations

import secrets
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

import numpy as np
from PIL.Image import Image

from models.media.png import AI_SOURCE_TYPE
from models.media.sound import Sound
from models.media.subtitles import Cue

Frame = Image | np.ndarray[Any, Any]


class FilmError(ValueError):
    """What was asked for cannot be written as a film."""


class EmptyFilm(FilmError):
    """The writer was closed before it was given a frame."""


class FrameMismatch(FilmError):
    """A frame is not 8-bit RGB, or not of the size of the first one."""


class UnsupportedTrack(FilmError):
    """The format has no place for sound, subtitles, chapters or transparency."""


class FilmClosed(RuntimeError):
    """The writer was closed, or dropped, before."""


@dataclass(frozen=True)
class FilmLabel:
    """What the file itself tells: its title, and that ``model`` of ``software`` made it."""

    title: str
    model: str
    software: str = "Atelier"

    @property
    def comment(self) -> str:
        """For fields that are read by people."""
        return f"AI-generated with {self.software}, model {self.model} ({AI_SOURCE_TYPE})"

    def xmp(self) -> bytes:
        """The same for tools: IPTC's digital source type in an XMP packet, UTF-8."""
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
    """``start`` and ``end`` in seconds."""

    title: str
    start: float
    end: float


@dataclass(frozen=True)
class FilmSpec:
    """Everything about a film but its frames.

    The picture decides how long the film is. Sound that is shorter is followed by silence; sound
    that is longer is cut where the picture ends, over a fade of 50 ms. Subtitles and chapters are
    cut there too. ``language`` is that of the sound and the subtitles, ISO 639-2 (three letters).
    ``crf`` is the constant quality, 0 (lossless) to 51; ``preset`` is x264's speed, from
    ``ultrafast`` to ``veryslow``. GIF knows neither. With ``alpha`` frames are RGBA: WebM keeps it,
    in GIF a pixel is there or is not, MP4 has none.
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
        """Frames a second, exact: 29.97 is 30000/1001."""
        rate = Fraction(self.fps).limit_denominator(1001)
        if rate <= 0:
            raise FilmError(f"a film needs more than {self.fps} frames a second")
        return rate


class FilmWriter(ABC):
    """Takes frames and makes a file of them. A context manager: leaving it by an exception drops
    the film.

    Frames are encoded as they come, into a hidden file beside ``path``, which takes its name when
    all is written. A writer that is dropped, or forgotten, removes it; only a killed process leaves
    it behind (``.NAME.*.part``).
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
        """How long the film is so far."""
        return float(self.frames / self._rate)

    def write(self, frame: Frame) -> None:
        """Add one frame: a PIL image, or uint8 of height x width x 3 (RGB; 4 with ``alpha``).

        Raises:
            FrameMismatch: it is something else, or not of the size of the first.
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
        """Finish the film and give it its name.

        Raises:
            EmptyFilm: there was no frame; nothing is left behind.
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
        """Drop the film: nothing is left behind."""
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
        """Called once, before the first frame."""

    @abstractmethod
    def _add(self, pixels: np.ndarray[Any, Any]) -> None:
        """Encode one frame; ``frames`` counts it already."""

    @abstractmethod
    def _finish(self) -> None:
        """Leave the whole film in the hidden file."""

    @abstractmethod
    def _drop(self) -> None:
        """Let go of what is open."""


def frame_pixels(frame: Frame, *, alpha: bool = False) -> np.ndarray[Any, Any]:
    """A frame as contiguous uint8 RGB of height x width x 3, with ``alpha`` RGBA.

    An image is converted: its transparency is dropped, or all of it is opaque.

    Raises:
        FrameMismatch: an array that is something else.
    """

    if isinstance(frame, Image):
        return np.ascontiguousarray(frame.convert("RGBA" if alpha else "RGB"))
    channels = 4 if alpha else 3
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
        raise FrameMismatch(
            f"a frame is uint8 of height x width x {channels}, not {frame.dtype} of {frame.shape}"
        )
    return np.ascontiguousarray(frame)
