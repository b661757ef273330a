"""Read uploaded sound files within limits, resample sound, and encode sound tracks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet


# FFmpeg's names. Playlists, and whatever else makes a demuxer open further files, are not there.
_FORMATS = "wav,w64,mp3,aac,flac,ogg,mov,matroska,aiff,caf"


MAX_SOUND_SECONDS = 600.0  # seconds that are read; 48 kHz stereo of that length takes 230 MB


class UnreadableSound(ValueError):
    """The file is damaged, empty, or no sound of a supported format; the message says which."""


def read_sound(path: Path, longest: float = MAX_SOUND_SECONDS) -> Sound:
    """Decode the first sound track of ``path``, mono or stereo, at 48 kHz.

    The samples are float32 of shape (n, 1) or (n, 2), nominally in -1..1. The function reads at
    most ``longest`` seconds.

    Raises:
        UnreadableSound: the file is damaged, empty, or no sound of a supported format.
    """

    max_samples = round(longest * SAMPLE_RATE)
    parts: list[Any] = []
    length = 0
    try:
        with av.open(
            str(path), options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        ) as file:
            for samples in _samples(file):
                parts.append(samples)
                length += len(samples)
                if length >= max_samples:
                    break
    except UnreadableSound:
        raise
    except Exception as error:  # FFmpeg's decoders raise nearly anything on damaged files
        raise UnreadableSound("this is no sound file, or it is damaged") from error
    if not length:
        raise UnreadableSound("this file holds no sound")
    try:
        return Sound(np.concatenate(parts)[:max_samples], SAMPLE_RATE)
    except InvalidSound as error:
        raise UnreadableSound(f"this sound cannot be used: {error}") from error


def _samples(file: av.container.InputContainer) -> Any:

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


Samples = NDArray[np.float32]  # (n,) or (n, channels), -1..1

SAMPLE_RATE = 48_000  # Hz; what browsers play without resampling, and all that Opus knows


FADE_SECONDS = 0.05


class InvalidSound(ValueError):
    """The samples are not mono or stereo float32, or contain NaN or infinity."""


@dataclass(frozen=True, eq=False)
class Sound:
    """Sound whose ``samples`` are float32 in -1..1: (n,) or (n, 1) mono, (n, 2) stereo.

    ``sample_rate`` is in Hz.

    Raises:
        InvalidSound: the samples have another type or shape, or are not finite.
    """

    samples: Samples
    sample_rate: int

    def __post_init__(self) -> None:

        shape = self.samples.shape
        if self.samples.dtype != np.float32 or not (
            len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, 2))
        ):
            raise InvalidSound(
                f"sound is float32 of (n,) or (n, 2), not {self.samples.dtype} of {shape}"
            )
        if not np.isfinite(self.samples).all():
            raise InvalidSound("the sound holds values that are no numbers (NaN or infinite)")
        if self.sample_rate <= 0:
            raise InvalidSound(f"a sample rate of {self.sample_rate} Hz means nothing")

    @property
    def channels(self) -> int:
        return 1 if self.samples.ndim == 1 else int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.sample_rate


class SoundTrackEncoder:
    """Encode a :class:`Sound` into one stream step by step.

    The encoder stays :data:`FADE_SECONDS` behind the picture, so that it can fade the sound out if
    the picture ends first.
    """

    def __init__(self, sound: Sound, stream: AudioStream) -> None:
        self._sound, self._stream = sound, stream
        self._samples = sound.samples.reshape(-1, sound.channels)
        self._done = 0  # samples encoded

    def encode_until(self, seconds: float) -> Iterator[Packet[AudioStream]]:
        """Yield the packets of the sound up to ``seconds`` minus the fade."""
        yield from self._encode(self._between(seconds - FADE_SECONDS))

    def finish(self, seconds: float) -> Iterator[Packet[AudioStream]]:
        """Yield the last packets of a film of ``seconds``: fade longer sound out, pad shorter
        sound.
        """

        rest = self._between(seconds)
        if self._sound.duration > seconds and len(rest):
            rest = rest * np.linspace(1, 0, len(rest), dtype=np.float32)[:, None]
        yield from self._encode(rest)
        yield from self._stream.encode(None)

    def _between(self, seconds: float) -> Samples:
        """Return the samples from the current position to ``seconds``: float32 (n, channels).

        Silence pads the end where the sound is shorter.
        """

        stop = round(seconds * self._sound.sample_rate)
        part = self._samples[self._done : max(stop, self._done)]
        missing = max(stop - self._done, 0) - len(part)
        return np.pad(part, ((0, missing), (0, 0)))

    def _encode(self, samples: Samples) -> Iterator[Packet[AudioStream]]:

        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T),
            format="fltp",
            layout="mono" if samples.shape[1] == 1 else "stereo",
        )
        frame.sample_rate = self._sound.sample_rate
        frame.time_base = Fraction(1, self._sound.sample_rate)
        frame.pts = self._done
        self._done += len(samples)
        # The encoder resamples to its own rate and cuts frames of its own size.
        yield from self._stream.encode(frame)


def resample(sound: Sound, rate: int) -> Sound:
    """Resample ``sound`` to ``rate`` Hz; float32 of the same channels, its length exact to one
    sample.
    """

    if sound.sample_rate == rate or not len(sound.samples):
        return sound if sound.sample_rate == rate else Sound(sound.samples, rate)
    layout = "mono" if sound.channels == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    samples = sound.samples.reshape(-1, sound.channels)
    target_length = round(len(samples) * rate / sound.sample_rate)
    parts = []
    for start in range(0, len(samples), sound.sample_rate):
        second = np.ascontiguousarray(samples[start : start + sound.sample_rate].T)
        frame = av.AudioFrame.from_ndarray(second, format="fltp", layout=layout)
        frame.sample_rate = sound.sample_rate
        frame.time_base = Fraction(1, sound.sample_rate)
        frame.pts = start
        parts += [out.to_ndarray() for out in resampler.resample(frame)]
    parts += [out.to_ndarray() for out in resampler.resample(None)]
    joined = np.concatenate(parts, axis=1).T[:target_length]
    whole = np.pad(joined, ((0, target_length - len(joined)), (0, 0))).astype(np.float32)
    return Sound(whole[:, 0] if sound.samples.ndim == 1 else whole, rate)
