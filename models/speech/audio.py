"""Trim speech, fade it, and normalize loudness. Samples are float32 of shape (n,) in -1..1."""

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
    """Return the first audible sample and one past the last; (0, 0) for silence.

    ``samples`` is float32 of shape (n,) in -1..1.
    """

    level = np.abs(samples)
    loud = np.flatnonzero(level > _QUIET * level.max(initial=0.0))
    return (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, 0)


def with_fades(samples: Samples, sample_rate: int) -> Samples:
    """Return a copy that starts and ends at zero, so that joins do not click.

    ``samples`` and the result are float32 of shape (n,) in -1..1; ``sample_rate`` is in Hz.
    """

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
    """Scale ``samples`` to :data:`TARGET_LOUDNESS` by one gain, limited so that no peak exceeds
    :data:`MAX_PEAK`.

    ``samples`` and the result are float32 of shape (n,) in -1..1.
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
    """Speed ``samples`` up by the factor ``tempo`` and raise their pitch by the factor ``pitch``.

    ``samples`` and the result are float32 of shape (n,) in -1..1; ``sample_rate`` is in Hz.
    FFmpeg's ``atempo`` filter stretches without changing the pitch; playback at another rate and
    resampling then changes both.
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
    """Split ``speed`` into equal factors in 0.5..2: beyond these, atempo fails or skips samples."""
    count = math.ceil(abs(math.log2(speed)))
    return [speed ** (1 / max(1, count))] * count
