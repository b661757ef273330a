"""Concatenate encoded clips by copying their video packets.

Each scene's clip is a film of its own (H.264 in MP4, video only, closed groups of pictures,
identical encoder settings). Concatenation costs almost nothing, so one scene can be rendered again
while the other clips are reused. Sound, subtitles and chapters belong to the whole film and are
added here: encoded sound that is cut between scenes would click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from models.media.encoding.base import EmptyFilm, FilmError, FilmSpec
from models.media.encoding.video import VideoWriter

# Frames by which decoding runs ahead of showing: x264's pyramids of B-frames need two, and one
# number for all clips keeps the times of decoding rising over their seams.
_DELAY = 2


class IncompatibleClips(FilmError):
    """A clip is no film, or differs from the first one in size, rate or encoder settings."""


def concat_clips(
    path: Path,
    clips: Sequence[Path],
    spec: FilmSpec,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Concatenate ``clips`` in order into one MP4 with the tracks of ``spec``, without re-encoding.

    The function calls ``on_progress`` with the completed fraction (0..1); it may raise to stop. The
    file appears complete or not at all.

    Raises:
        IncompatibleClips: the clips do not match; render the named one again.
        EmptyFilm: there is no clip.
    """
    if not clips:
        raise EmptyFilm("a film needs at least one clip")
    with _ConcatWriter(path, spec) as film:
        for number, clip in enumerate(clips):
            film.add(clip)
            if on_progress is not None:
                on_progress((number + 1) / len(clips))


class _ConcatWriter(VideoWriter):
    """A film writer for frames that are already encoded."""

    def __init__(self, path: Path, spec: FilmSpec) -> None:
        if path.suffix.lower() != ".mp4":
            raise FilmError(f"{path.name}: clips are joined into .mp4 only")
        super().__init__(path, spec)
        self._model: Any  # the first clip's stream: what all of them must be like
        self._settings: tuple[Any, ...] | None = None

    def add(self, clip: Path) -> None:
        """Append ``clip``.

        Raises:
            IncompatibleClips: the clip does not match the first one.
        """
        packets = self._read(clip)
        numbers = [_frame_number(packet, self._rate) for packet in packets]
        if (
            not packets
            or sorted(numbers) != list(range(len(numbers)))
            or not packets[0].is_keyframe
        ):
            raise IncompatibleClips(f"{clip.name} is not a run of whole frames from a key frame on")
        if any(frame < number - _DELAY for number, frame in enumerate(numbers)):
            raise IncompatibleClips(
                f"{clip.name} reorders its frames further than the films made here"
            )
        first = self.frames
        for number, (packet, frame) in enumerate(zip(packets, numbers, strict=True)):
            self.frames += 1
            self._write_up_to_now()
            packet.stream = self._video
            packet.time_base = 1 / self._rate
            packet.pts, packet.dts = first + frame, first + number - _DELAY
            packet.duration = 1
            self._mux([packet])

    def _read(self, clip: Path) -> list[Any]:
        """Read the clip's packets in decoding order; the first clip opens the film."""

        try:
            with av.open(str(clip), "r", format="mov") as source:
                stream = next(iter(source.streams.video), None)
                if stream is None:
                    raise IncompatibleClips(f"{clip.name} has no picture")
                settings = _settings(stream)
                packets: list[Any] = [packet for packet in source.demux(stream) if packet.size]
                if self._settings is None and settings[0] == self._rate:
                    self._model, self._settings = stream, settings
                    self._begin(stream.height, stream.width)
                    self._frame_shape = (stream.height, stream.width, 3)
        except (av.FFmpegError, OSError) as error:
            raise IncompatibleClips(f"{clip.name} cannot be read as a clip: {error}") from error
        if settings[0] != self._rate:
            raise IncompatibleClips(
                f"{clip.name} has {settings[0]} frames a second, the film {self._rate}"
            )
        if settings != self._settings:
            raise IncompatibleClips(f"{clip.name} was not made with the settings of the first clip")
        return packets

    def _video_stream(
        self, container: av.container.OutputContainer, height: int, width: int
    ) -> Any:
        stream: Any = container.add_stream_from_template(self._model)
        stream.time_base = 1 / self._rate
        return stream

    def _end_picture(self) -> None:
        """Do nothing: every packet is written when it arrives."""


def _settings(stream: Any) -> tuple[Any, ...]:
    """Return the settings that must match; the extradata holds H.264's parameter sets."""
    codec = stream.codec_context
    return (
        Fraction(stream.average_rate or 0),
        codec.codec.canonical_name,
        stream.width,
        stream.height,
        bytes(codec.extradata or b""),
    )


def _frame_number(packet: Any, rate: Fraction) -> int:
    return round(packet.pts * packet.time_base * rate)
