"""Encode films for browsers through PyAV: H.264 and AAC in MP4, VP9 and Opus in WebM.

MP4: 4:2:0, BT.709 (tagged), a closed group of pictures every two seconds for quick seeking, the
index before the data for immediate playback, subtitles as ``mov_text``. WebM: the same picture in
VP9, subtitles as WebVTT.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from models.cores import usable_cores
from models.media.encoding.base import FilmSpec, FilmWriter, UnsupportedTrack
from models.media.sound import SAMPLE_RATE, SoundTrackEncoder
from models.media.subtitles import Cue, clip_cues, vtt_text

if TYPE_CHECKING:
    from av.container.core import Chapter
    from av.stream import Stream
    from av.video.frame import VideoFrame

_BT709 = 1  # the value of ISO/IEC 23091-2 for primaries, transfer and matrix alike
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG
_KEYFRAME_SECONDS = 2
# XMP Specification Part 3 (Adobe, 2020), 1.2.6: a top-level box of this type holds the packet.
_XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
_MILLISECONDS = Fraction(1, 1000)


@dataclass(frozen=True)
class _Format:
    """The codecs and options of one container."""

    video: str
    audio: str
    subtitles: str
    audio_bits: int  # a second and channel
    options: dict[str, str]


CONTAINER_FORMATS = {
    "mp4": _Format("libx264", "aac", "mov_text", 96_000, {"movflags": "+faststart"}),
    "webm": _Format("libvpx-vp9", "libopus", "webvtt", 64_000, {}),
}


class VideoWriter(FilmWriter):
    """Write ``.mp4`` or ``.webm``; see :class:`FilmWriter` and :class:`FilmSpec`.

    4:2:0 needs even sizes: the last row or column of an odd frame is doubled.
    """

    def __init__(self, path: Path, spec: FilmSpec) -> None:
        super().__init__(path, spec)
        self._format = CONTAINER_FORMATS[path.suffix.lower().removeprefix(".")]
        self._name = path.suffix.lower().removeprefix(".")
        if spec.alpha and self._format.video != "libvpx-vp9":
            raise UnsupportedTrack("MP4 has no transparency: choose WebM or GIF")
        self._pixel_format = "yuva420p" if spec.alpha else "yuv420p"
        self._container: av.container.OutputContainer | None = None
        self._video: Any  # av's VideoStream; its type is one of three to a checker
        self._sound: SoundTrackEncoder | None = None
        self._subtitles: Stream | None = None
        self._cues = _without_overlap(spec.subtitles)

    def _begin(self, height: int, width: int) -> None:

        spec, label = self.spec, self.spec.label
        container = av.open(
            str(self._partial_path), "w", format=self._name, container_options=self._format.options
        )
        self._container = container
        container.metadata.update(
            title=label.title, comment=label.comment, artist=label.software, encoder=label.software
        )
        self._video = self._video_stream(container, height + height % 2, width + width % 2)
        if spec.sound is not None:
            layout = "mono" if spec.sound.channels == 1 else "stereo"
            stream: Any = container.add_stream(self._format.audio, rate=SAMPLE_RATE, layout=layout)
            stream.bit_rate = self._format.audio_bits * spec.sound.channels
            stream.metadata["language"] = spec.language
            self._sound = SoundTrackEncoder(spec.sound, stream)
        if self._cues:
            self._subtitles = container.add_mux_stream(
                self._format.subtitles, time_base=_MILLISECONDS
            )
            self._subtitles.metadata["language"] = spec.language

    def _video_stream(
        self, container: av.container.OutputContainer, height: int, width: int
    ) -> Any:
        options = {"crf": str(self.spec.crf)}
        if self._format.video == "libx264":
            options |= {"preset": self.spec.preset, "profile": "high"}
        else:
            # Row threads and speed 5: libvpx's default takes minutes for what x264 does in seconds.
            options |= {"deadline": "good", "cpu-used": "5", "row-mt": "1"}
            if self.spec.alpha:
                options["auto-alt-ref"] = "0"  # libvpx refuses hidden frames beside transparency
        stream: Any = container.add_stream(self._format.video, rate=self._rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, self._pixel_format
        stream.time_base = 1 / self._rate
        context = stream.codec_context
        context.time_base = 1 / self._rate
        context.gop_size = max(1, round(_KEYFRAME_SECONDS * self._rate))
        context.bit_rate = 0  # constant quality: crf alone decides
        # One core is left to whoever makes the frames: the two would only hold each other up.
        context.thread_count = max(1, usable_cores() - 1)
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        return stream

    def _add(self, pixels: NDArray[np.uint8]) -> None:
        self._write_up_to_now()
        self._mux(self._video.encode(self._frame(pixels)))

    def _write_up_to_now(self) -> None:
        """Write the cues and the sound up to the current end of the picture."""
        # A cue waits until it is over: the film may end before. Meanwhile the muxer holds the
        # other packets back (for ten seconds at most), so the order in the file stays right.
        while self._cues and self._cues[0].end <= self.seconds:
            self._write_cue(self._cues.popleft())
        if self._sound is not None:
            self._mux(self._sound.encode_until(self.seconds))

    def _frame(self, pixels: NDArray[np.uint8]) -> VideoFrame:

        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        packed = "rgba" if self.spec.alpha else "rgb24"
        frame = av.VideoFrame.from_ndarray(pixels, format=packed).reformat(
            format=self._pixel_format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        frame.colorspace = frame.color_primaries = frame.color_trc = _BT709
        frame.color_range = _LIMITED
        frame.pts, frame.time_base = self.frames - 1, 1 / self._rate
        return frame

    def _write_cue(self, cue: Cue) -> None:

        if self._format.subtitles == "webvtt":
            data = vtt_text(cue.text).encode()
        else:
            data = cue.text.encode()
            data = struct.pack(">H", len(data)) + data  # 3GPP TS 26.245, 5.17: a text sample
        packet = av.Packet(data)
        packet.stream = self._subtitles  # type: ignore[assignment]
        packet.time_base = _MILLISECONDS
        packet.pts = packet.dts = round(cue.start * 1000)
        packet.duration = round(cue.end * 1000) - packet.pts
        packet.is_keyframe = True
        self._mux([packet])

    def _finish(self) -> None:
        container = self._container
        assert container is not None  # close() has seen a frame
        seconds = self.seconds
        if self._sound is not None:
            self._mux(self._sound.finish(seconds))
        for cue in clip_cues(self._cues, seconds):
            self._write_cue(cue)
        self._end_picture()
        container.set_chapters(_chapters(self.spec, seconds))
        container.close()
        self._container = None
        if self._name == "mp4":
            with self._partial_path.open("ab") as file:
                file.write(_box(b"uuid", _XMP_BOX.bytes + self.spec.label.xmp()))

    def _end_picture(self) -> None:
        self._mux(self._video.encode(None))

    def _drop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _mux(self, packets: Any) -> None:
        assert self._container is not None
        for packet in packets:
            self._container.mux(packet)


def _without_overlap(cues: tuple[Cue, ...]) -> deque[Cue]:
    """Sort ``cues`` and end each before the next begins: text tracks hold no overlap."""
    ordered = sorted(cues, key=lambda cue: cue.start)
    limits = [*(cue.start for cue in ordered[1:]), float("inf")]
    return deque(
        replace(cue, end=min(cue.end, limit))
        for cue, limit in zip(ordered, limits, strict=False)
        if limit > cue.start
    )


def _chapters(spec: FilmSpec, seconds: float) -> list[Chapter]:
    """Convert the chapters that begin before the film's end to PyAV's form."""
    return [
        {
            "id": number,
            "start": round(chapter.start * 1000),
            "end": round(min(chapter.end, seconds) * 1000),
            "time_base": _MILLISECONDS,
            "metadata": {"title": chapter.title},
        }
        for number, chapter in enumerate(spec.chapters)
        if chapter.start < seconds
    ]


def _box(kind: bytes, content: bytes) -> bytes:
    """Build an MP4 box (ISO/IEC 14496-12, 4.2): length, type, content."""
    return struct.pack(">I4s", 8 + len(content), kind) + content
