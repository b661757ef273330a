"""Sounds that come from outside: read with bounds, by the formats we name and no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.media.audio import SAMPLE_RATE, InvalidSound, Sound

if TYPE_CHECKING:
    import av

# FFmpeg's names. Playlists, and whatever else makes a demuxer open further files, are not there.
_FORMATS = "wav,w64,mp3,aac,flac,ogg,mov,matroska,aiff,caf"
MAX_SOUND_SECONDS = 600.0  # seconds that are read; 48 kHz stereo of that length takes 230 MB


class UnreadableSound(ValueError):
    """The file is no sound of a known format, or it is damaged or empty; its message says."""


def read_sound(path: Path, longest: float = MAX_SOUND_SECONDS) -> Sound:
    """The first sound track of ``path``, mono or stereo, at 48 kHz.

    What comes after ``longest`` seconds is not read.

    Raises:
        UnreadableSound: see there.
    """
    import av
    import numpy as np

    wanted = round(longest * SAMPLE_RATE)
    parts: list[Any] = []
    length = 0
    try:
        with av.open(
            str(path), options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        ) as file:
            for samples in _samples(file):
                parts.append(samples)
                length += len(samples)
                if length >= wanted:
                    break
    except UnreadableSound:
        raise
    except Exception as error:  # FFmpeg's decoders raise nearly anything on damaged files
        raise UnreadableSound("this is no sound file, or it is damaged") from error
    if not length:
        raise UnreadableSound("this file holds no sound")
    try:
        return Sound(np.concatenate(parts)[:wanted], SAMPLE_RATE)
    except InvalidSound as error:
        raise UnreadableSound(f"this sound cannot be used: {error}") from error


def _samples(file: av.container.InputContainer) -> Any:
    import av
    import numpy as np

    track = next(iter(file.streams.audio), None)
    if track is None:
        raise UnreadableSound("this file holds no sound")
    layout = "mono" if track.channels == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
    for frame in file.decode(track):
        for out in resampler.resample(frame):
            yield np.ascontiguousarray(out.to_ndarray().T)
    for out in resampler.resample(None):
        yield np.ascontiguousarray(out.to_ndarray().T)
