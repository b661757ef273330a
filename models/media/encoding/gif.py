"""Encode GIF films with one palette for all frames, repeated forever.

A good palette needs every frame, and frames arrive one by one: they wait in an anonymous file on
disk, not in memory, while the writer counts their colors. GIF stores frame times in hundredths of a
second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.media.encoding.base import FilmError, FilmSpec, FilmWriter, UnsupportedTrack

MAX_FPS = 50  # browsers show anything faster at 10 frames a second
_TRANSPARENT_INDEX = 255  # the palette's entry for what is transparent
_BITS = 5  # a channel, in the count of colors
_SAMPLES = 65_536  # pixels of the picture the palette is made from


class GifWriter(FilmWriter):
    """Write ``.gif``; see :class:`FilmWriter` and :class:`FilmSpec`.

    The writer encodes everything when it is closed and calls ``on_finish`` with the completed
    fraction (0..1); it may raise to stop. With ``spec.alpha``, alpha below 0.5 becomes fully
    transparent.

    Raises:
        UnsupportedTrack: GIF has no sound, subtitles or chapters.
        FilmError: the rate exceeds :data:`MAX_FPS` frames per second.
    """

    def __init__(
        self, path: Path, spec: FilmSpec, on_finish: Callable[[float], None] | None = None
    ) -> None:
        if spec.sound is not None or spec.subtitles or spec.chapters:
            raise UnsupportedTrack("GIF holds pictures only: leave out sound, subtitles, chapters")
        if spec.rate > MAX_FPS:
            raise FilmError(f"GIF shows at most {MAX_FPS} frames a second, not {spec.fps}")
        super().__init__(path, spec)
        self._waiting: IO[bytes] | None = None
        self._on_finish = on_finish

    def _begin(self, height: int, width: int) -> None:

        self._waiting = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115
        self._counts = np.zeros(1 << 3 * _BITS, np.int64)
        self._sums = np.zeros((3, 1 << 3 * _BITS))

    def _add(self, pixels: NDArray[np.uint8]) -> None:

        assert self._waiting is not None
        self._waiting.write(pixels.tobytes())
        visible = pixels.reshape(-1, pixels.shape[2])
        if self.spec.alpha:
            visible = visible[visible[:, 3] >= 128]
        coarse = (visible >> (8 - _BITS)).astype(np.int32)
        bins = (coarse[:, 0] << 2 * _BITS) | (coarse[:, 1] << _BITS) | coarse[:, 2]
        self._counts += np.bincount(bins, minlength=self._counts.size)
        for channel in range(3):
            self._sums[channel] += np.bincount(bins, visible[:, channel], self._counts.size)

    def _finish(self) -> None:

        palette = self._palette()
        colors = np.frombuffer(bytes(palette.getpalette("RGB") or b""), np.uint8).reshape(-1, 3)
        table = np.full((256, 4), 255, np.uint8)  # ARGB, in the order PyAV wants it
        table[:, 1:] = 0
        table[: len(colors), 1:] = colors
        if self.spec.alpha:
            table[_TRANSPARENT_INDEX] = 0
        with av.open(
            str(self._partial_path), "w", format="gif", container_options={"loop": "0"}
        ) as container:
            stream = container.add_stream("gif", rate=self._rate)
            assert self._frame_shape is not None
            stream.height, stream.width = self._frame_shape[:2]
            stream.pix_fmt = "pal8"
            stream.codec_context.time_base = stream.time_base = 1 / self._rate
            for number, image in enumerate(self._frames()):
                if self._on_finish is not None:
                    self._on_finish(number / self.frames)
                opaque = image.convert("RGB")
                indices = np.asarray(opaque.quantize(palette=palette, dither=_dither()))
                if self.spec.alpha:
                    alpha = np.asarray(image.getchannel("A"))
                    indices = np.where(alpha < 128, _TRANSPARENT_INDEX, indices).astype(np.uint8)
                pixels: Any = (indices, table)  # a pair is what pal8 takes; the stubs do not know
                frame = av.VideoFrame.from_ndarray(pixels, format="pal8")
                frame.pts, frame.time_base = number, 1 / self._rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        self._partial_path.write_bytes(
            _add_label(self._partial_path.read_bytes(), self.spec.label.xmp())
        )
        self._drop()

    def _drop(self) -> None:
        if self._waiting is not None:
            self._waiting.close()

    def _frames(self) -> Iterator[Image.Image]:

        assert self._waiting is not None
        assert self._frame_shape is not None
        height, width, channels = self._frame_shape
        mode = "RGBA" if self.spec.alpha else "RGB"
        self._waiting.seek(0)
        for _ in range(self.frames):
            data = self._waiting.read(height * width * channels)
            yield Image.frombytes(mode, (width, height), data)

    def _palette(self) -> Image.Image:
        """Quantize by median cut over an image that holds each color as often as the film does."""

        used = np.flatnonzero(self._counts)
        counts = self._counts[used]
        if not len(used):  # every frame is transparent
            return Image.new("P", (1, 1))
        means = (self._sums[:, used] / counts).T.round().astype(np.uint8)
        # At least one pixel each: a small bright thing must not fall out of the palette.
        repeats = np.maximum(counts * _SAMPLES // counts.sum(), 1)
        pixels = np.repeat(means, repeats, axis=0)
        palette_size = 255 if self.spec.alpha else 256
        return Image.fromarray(pixels[None]).quantize(palette_size, method=Image.Quantize.MEDIANCUT)


def _dither() -> Any:

    return Image.Dither.FLOYDSTEINBERG


def _add_label(gif: bytes, xmp: bytes) -> bytes:
    """Insert an XMP packet as the last block of ``gif`` (XMP Specification Part 3, 1.1.2).

    The packet is not split into sub-blocks. The "magic trailer" after it leads readers that do not
    know the block to its end from any byte they land on.
    """
    trailer = bytes([1]) + bytes(range(255, -1, -1)) + bytes([0])
    return gif[:-1] + b"\x21\xff\x0bXMP DataXMP" + xmp + trailer + gif[-1:]
