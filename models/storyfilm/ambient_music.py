"""Synthesize quiet background music from a seed: soft chords and a few plucked notes.

Additive synthesis: each voice is a few slightly detuned harmonics that swell and fade. The result
is a ring: its end runs into its beginning, so that it loops. Nothing is sampled or learned, so
nobody else has rights in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.media.sound import SAMPLE_RATE, Sound

Samples = NDArray[np.floating[Any]]


CHORDS = 8
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_OVERLAP = 0.45  # of a chord's time, by which it lasts into the next
_VOICES_APART = 0.0016  # of their pitch


@dataclass(frozen=True)
class _Style:
    """A style of music.

    ``progressions`` are degrees of the scale, 0 the tonic; ``harmonics`` is the brightness of the
    pad (the factor from one harmonic to the next); ``plucks`` is the number of notes per chord.
    """

    scale: tuple[int, ...]
    progressions: tuple[tuple[int, ...], ...]
    chord_seconds: float
    lowest: int  # MIDI note of the tonic
    harmonics: float
    plucks: int


STYLES: dict[str, _Style] = {
    "calm": _Style(_MAJOR, ((0, 4, 5, 3), (0, 5, 3, 4), (0, 2, 3, 4)), 4.0, 48, 0.42, 3),
    "bright": _Style(_MAJOR, ((0, 3, 4, 0), (0, 4, 3, 4), (3, 4, 5, 0)), 2.8, 50, 0.52, 6),
    "dark": _Style(_MINOR, ((0, 5, 2, 6), (0, 3, 0, 4), (0, 5, 3, 4)), 4.6, 43, 0.34, 1),
    "dreamy": _Style(_MAJOR, ((3, 0, 5, 4), (0, 2, 5, 3), (5, 3, 0, 4)), 5.0, 52, 0.3, 4),
}


def ambient_music(style: str, seed: int, on_progress: Callable[[], None] | None = None) -> Sound:
    """Synthesize about half a minute of music that loops without a seam.

    The samples are float32 of shape (n, 2) in -1..1 at 48 kHz. The function calls ``on_progress``
    after each chord; it may raise to stop.
    """

    rng = random.Random(f"bed {style} {seed}")
    chosen = STYLES[style]
    tonic = chosen.lowest + rng.randrange(0, 5)
    degrees = [*rng.choice(chosen.progressions), *rng.choice(chosen.progressions)][:CHORDS]
    step = round(chosen.chord_seconds * SAMPLE_RATE)
    ring = np.zeros((step * len(degrees), 2), dtype=np.float64)
    for number, degree in enumerate(degrees):
        notes = [_note(chosen, tonic, degree + third) for third in (0, 2, 4)]
        for note in [notes[0] - 12, *_in_octave_around(notes, tonic + 12)]:
            _add_wrapped(ring, number * step, _pad(note, step, chosen.harmonics, rng))
        for _ in range(chosen.plucks):
            # On eighths of the chord, from its own notes: never a wrong one.
            at = number * step + rng.randrange(8) * step // 8
            _add_wrapped(ring, at, _pluck(rng.choice(notes) + rng.choice((12, 24)), rng))
        if on_progress is not None:
            on_progress()
    ring /= max(float(np.abs(ring).max()), 1e-9) / 0.5
    return Sound(ring.astype(np.float32), SAMPLE_RATE)


def _note(style: _Style, tonic: int, degree: int) -> int:
    octave, place = divmod(degree, len(style.scale))
    return tonic + 12 * octave + style.scale[place]


def _in_octave_around(notes: list[int], center: int) -> list[int]:
    """Move ``notes`` into the octave around ``center``, so that chords change in small steps."""
    return [note + 12 * round((center - note) / 12) for note in notes]


def _pad(note: int, step: int, harmonics: float, rng: random.Random) -> Samples:
    """Synthesize one voice of a chord with its swell: float of shape (n, 2)."""

    length = round(step * (1 + _OVERLAP))
    t = np.arange(length) / SAMPLE_RATE
    sound = np.zeros((length, 2))
    for side, apart in enumerate((1 - _VOICES_APART, 1 + _VOICES_APART)):
        for harmonic in range(1, 6):
            phase = rng.uniform(0, 2 * np.pi)
            pitch = _hertz(note) * harmonic * apart
            sound[:, side] += harmonics ** (harmonic - 1) * np.sin(2 * np.pi * pitch * t + phase)
    rise = min(round(_OVERLAP * step), length // 2)
    # Equal power: one chord fades as the next swells.
    swell = np.sin(np.linspace(0, np.pi / 2, rise))
    envelope = np.ones(length)
    envelope[:rise] = swell
    envelope[-rise:] = swell[::-1]
    return 0.25 * sound * envelope[:, None]


def _pluck(note: int, rng: random.Random) -> Samples:

    t = np.arange(round(1.8 * SAMPLE_RATE)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * _hertz(note) * t) * np.exp(-3.2 * t)
    tone += 0.3 * np.sin(4 * np.pi * _hertz(note) * t) * np.exp(-6 * t)
    tone *= np.minimum(t / 0.008, 1) * np.minimum((t[-1] - t) / 0.1, 1)
    place = rng.uniform(0.25, 0.75)
    return 0.3 * tone[:, None] * np.sqrt([1 - place, place])


def _hertz(note: int) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _add_wrapped(ring: Samples, start: int, sound: Samples) -> None:
    """Add ``sound`` to ``ring`` (both (n, 2)); samples beyond the end wrap to the beginning."""
    length = len(ring)
    start %= length
    head = min(length - start, len(sound))
    ring[start : start + head] += sound[:head]
    ring[: len(sound) - head] += sound[head:]
