"""Spoken sound: trimming, joining, loudness. Samples are float32 mono in -1..1 throughout."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]


MAX_PEAK = 10 ** (-1 / 20)  # -1 dBFS: what a lossy encoder adds still stays below full scale
TARGET_LOUDNESS = 10 ** (-20 / 20)  # root mean square of the spoken parts
_FADE_SECONDS = 0.004
_QUIET = 0.01  # of the loudest sample


def audible_range(samples: Samples) -> tuple[int, int]:
    """First and one past the last sample that can be heard; (0, 0) for silence."""

    level = np.abs(samples)
    loud = np.flatnonzero(level > _QUIET * level.max(initial=0.0))
    return (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, 0)


def with_fades(samples: Samples, sample_rate: int) -> Samples:
    """A copy that starts and ends at zero, so that joins do not click."""

    out = samples.copy()
    length = min(int(_FADE_SECONDS * sample_rate), out.size // 2)
    if length:
        ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)
        out[:length] *= ramp
        out[-length:] *= ramp[::-1]
    return out


def silence(seconds: float, sample_rate: int) -> Samples:

    return np.zeros(round(seconds * sample_rate), dtype=np.float32)


def normalize_loudness(samples: Samples) -> Samples:
    """Brought to :data:`TARGET_LOUDNESS` by one gain, unless that would lift a peak over
    :data:`MAX_PEAK`.
    """

    level = np.abs(samples)
    peak = float(level.max(initial=0.0))
    if peak == 0.0:
        return samples
    spoken = samples[level > _QUIET * peak].astype(np.float64)
    rms = float(np.sqrt(np.mean(spoken**2)))
    return (samples * min(TARGET_LOUDNESS / rms, MAX_PEAK / peak)).astype(np.float32)


def change_tempo_and_pitch(
    samples: Samples, sample_rate: int, tempo: float, pitch: float
) -> Samples:
    """Spoken ``tempo`` times as fast and ``pitch`` times as high.

    Stretched without changing the pitch, then resampled, which changes both.
    """

    if samples.size == 0:
        return samples
    out: Any = _time_stretch(samples, sample_rate, tempo / pitch)
    if pitch != 1.0:
        at = np.arange(0, out.size - 1, pitch)
        out = np.interp(at, np.arange(out.size), out)
    return out.astype(np.float32)


def _time_stretch(samples: Samples, sample_rate: int, speed: float) -> Samples:
    """WSOLA (Verhelst and Roelands, ICASSP 1993): overlap-add of windows 30 ms long, each taken
    within 8 ms of where it should be, at the lag that continues the last one best."""

    window = int(0.03 * sample_rate) // 2 * 2
    hop, reach = window // 2, int(0.008 * sample_rate)
    if speed == 1.0 or samples.size < 2 * window:
        return samples
    count = max(1, int((samples.size - window) / (hop * speed)))
    padded = np.pad(samples, (reach, 2 * window + 2 * reach))
    shape = np.hanning(window + 1)[:window].astype(np.float32)
    out = np.zeros(count * hop + window, dtype=np.float32)
    taken = reach
    for number in range(count):
        if number:
            wanted = padded[taken + hop : taken + hop + window]
            centre = reach + int(number * hop * speed)
            around = padded[centre - reach : centre + reach + window]
            taken = centre - reach + int(np.argmax(np.correlate(around, wanted, mode="valid")))
        out[number * hop : number * hop + window] += shape * padded[taken : taken + window]
    return out[: round(samples.size / speed)]
