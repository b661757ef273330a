"""Read the tracks and frames of a film."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from models.media.encoding.base import Chapter

_MICROSECONDS = 1_000_000


class UnreadableVideo(ValueError):
    """The file is no film, is truncated, or has no video track."""


@dataclass(frozen=True)
class MediaInfo:
    """A film's properties; ``audio_duration`` (seconds) is 0 without sound.

    ``duration`` is in seconds.

    ``frames`` is the count in the file's header, 0 where the format stores none (WebM).
    """

    format: str
    duration: float
    width: int
    height: int
    fps: float
    frames: int
    video_codec: str
    audio_codec: str | None
    audio_duration: float
    sample_rate: int
    channels: int
    subtitle_codec: str | None
    chapters: tuple[Chapter, ...]
    metadata: dict[str, str]


def probe(path: Path) -> MediaInfo:
    """Read the film's header.

    Raises:
        UnreadableVideo: the file is no film, is truncated, or has no video track.
    """
    with _open_video(path) as film:
        video = film.streams.video[0]
        audio = next(iter(film.streams.audio), None)
        texts = next(iter(film.streams.subtitles), None)
        whole = float((film.duration or 0) / _MICROSECONDS)
        heard = _seconds(audio) or whole if audio is not None else 0.0
        return MediaInfo(
            format=film.format.name,
            duration=_seconds(video) or whole,
            width=video.width,
            height=video.height,
            fps=float(video.average_rate or 0),
            frames=video.frames,
            video_codec=video.codec_context.codec.canonical_name,
            audio_codec=audio.codec_context.codec.canonical_name if audio is not None else None,
            audio_duration=heard,
            sample_rate=audio.rate if audio is not None else 0,
            channels=audio.channels if audio is not None else 0,
            subtitle_codec=texts.codec_context.codec.canonical_name if texts is not None else None,
            chapters=tuple(
                Chapter(
                    chapter["metadata"].get("title", ""),
                    float(chapter["start"] * (chapter["time_base"] or 1)),
                    float(chapter["end"] * (chapter["time_base"] or 1)),
                )
                for chapter in film.chapters()
            ),
            metadata={key.lower(): value for key, value in film.metadata.items()},
        )


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield every frame in order: uint8 RGB, (height, width, 3). The file stays open meanwhile.

    Raises:
        UnreadableVideo: the file is no film, is truncated, or has no video track.
    """
    with _open_video(path) as film:
        for frame in film.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def _seconds(stream: Any) -> float:
    return float((stream.duration or 0) * (stream.time_base or 0))


def _open_video(path: Path) -> av.container.InputContainer:

    try:
        film = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise UnreadableVideo(f"{path.name} cannot be read as a film: {error}") from error
    if not film.streams.video:
        film.close()
        raise UnreadableVideo(f"{path.name} has no picture")
    return film
