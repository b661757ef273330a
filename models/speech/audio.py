"""Spoken sound: trimming, joining, loudness. Samples are float32 mono in -1..1 throughout."""

from __future__ import annotations

import math
from typing import TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]


MAX_PEAK = 10 ** (-1 / 20)  # -1 dBFS: what a lossy encoder adds still stays below full scale
TARGET_LOUDNESS = 10 ** (-20 / 20)  # root mean square of the spoken parts
_FADE_SECONDS = 0.004
_TAIL_SECONDS = 0.2
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

    FFmpeg's ``atempo`` stretches without changing the pitch; played at another rate and resampled
    back, the sound then changes both.
    """

    if samples.size == 0 or tempo == pitch == 1.0:
        return samples
    graph = av.filter.Graph()
    steps = [graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono")]
    steps += [graph.add("atempo", str(factor)) for factor in _factors(tempo / pitch)]
    if pitch != 1.0:
        steps.append(graph.add("asetrate", str(round(sample_rate * pitch))))
        steps.append(graph.add("aresample", str(sample_rate)))
    steps += [graph.add("aformat", "sample_fmts=flt"), graph.add("abuffersink")]
    graph.link_nodes(*steps).configure()
    # atempo drops what does not fill its last window, so silence goes last, and is cut off again.
    padded = np.pad(samples, (0, round(_TAIL_SECONDS * sample_rate * max(1.0, tempo))))
    frame = av.AudioFrame.from_ndarray(padded.reshape(1, -1), format="flt", layout="mono")
    frame.sample_rate = sample_rate
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray().reshape(-1))
        except av.EOFError:
            break
    out = np.concatenate(pieces)[: round(samples.size / tempo)]
    return out.astype(np.float32, copy=False)


def _factors(speed: float) -> list[float]:
    """``speed`` as equal factors in 0.5..2: outside of that atempo refuses, or skips samples."""
    count = math.ceil(abs(math.log2(speed)))
    return [speed ** (1 / max(1, count))] * count
