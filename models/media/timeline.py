"""Compute where the parts of a narrated film lie: times, frames, subtitles, chapters and sound.

A part lasts as long as its narration plus a pause before and after, at least ``min_seconds``,
rounded up to whole frames; so picture, sound and text agree to the frame.
:mod:`models.media.mixing` adds music; :mod:`models.media.sound` reads uploaded sound files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from models.media.encoding.base import Chapter
from models.media.sound import SAMPLE_RATE, Sound, resample
from models.media.subtitles import Cue, clip_cues, cues_from_words
from models.speech.speech import Speech, Word

LEAD_SECONDS, TAIL_SECONDS = 0.4, 0.6


@dataclass(frozen=True, eq=False)
class TimelinePart:
    """One scene of a film.

    ``speech`` begins ``lead_s`` seconds after the scene starts and ends at least ``tail_s`` seconds
    before the scene ends. A part without a ``title`` belongs to the previous chapter.
    """

    title: str
    speech: Speech | None = None
    min_seconds: float = 0.0
    lead_s: float = LEAD_SECONDS
    tail_s: float = TAIL_SECONDS

    @property
    def min_duration(self) -> float:
        """Return the duration in seconds before it is rounded up to frames."""
        spoken = self.lead_s + self.speech.duration + self.tail_s if self.speech else 0.0
        return max(spoken, self.min_seconds)


@dataclass(frozen=True, eq=False)
class PlacedPart:
    """A part with its position; ``first_frame`` is its first frame number in the film."""

    part: TimelinePart
    first_frame: int
    frames: int
    rate: Fraction

    @property
    def start(self) -> float:
        return float(self.first_frame / self.rate)

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)

    @property
    def end(self) -> float:
        return float((self.first_frame + self.frames) / self.rate)

    def words(self) -> tuple[Word, ...]:
        """Return the narration's words, timed in seconds from the start of the part."""
        lead = self.part.lead_s
        said = self.part.speech.words if self.part.speech else ()
        return tuple(replace(word, start=word.start + lead, end=word.end + lead) for word in said)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The parts in order, without gaps."""

    parts: tuple[PlacedPart, ...]
    rate: Fraction

    @property
    def frames(self) -> int:
        return sum(placed.frames for placed in self.parts)

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)

    def cues(self) -> tuple[Cue, ...]:
        """Return the subtitles of all narrations; each lies within its part."""
        cues: list[Cue] = []
        for placed in self.parts:
            cues += clip_cues(cues_from_words(placed.words(), placed.seconds), 1e9, placed.start)
        return tuple(cues)

    def chapters(self) -> tuple[Chapter, ...]:
        """Return one chapter per titled part; the first chapter begins at 0."""
        titled = [placed for placed in self.parts if placed.part.title]
        starts = [0.0, *(placed.start for placed in titled[1:])]
        ends = [*starts[1:], self.seconds]
        return tuple(
            Chapter(placed.part.title, start, end)
            for placed, start, end in zip(titled, starts, ends, strict=False)
        )

    def sound(self) -> Sound | None:
        """Mix all narrations into one mono sound: float32 (n,) in -1..1; ``None`` without
        narration.

        The sample rate is that of the narrations, or 48 kHz where they differ.
        """

        spoken = [placed for placed in self.parts if placed.part.speech is not None]
        rates = {placed.part.speech.sample_rate for placed in spoken if placed.part.speech}
        if not rates:
            return None
        rate = rates.pop() if len(rates) == 1 else SAMPLE_RATE
        whole = np.zeros(math.ceil(self.seconds * rate), dtype=np.float32)
        for placed in spoken:
            speech = placed.part.speech
            assert speech is not None
            samples = resample(Sound(speech.samples, speech.sample_rate), rate).samples
            at = round((placed.start + placed.part.lead_s) * rate)
            # A sample of rounding may stick out at the end.
            room = whole[at : at + len(samples)]
            room += samples[: len(room)]
        return Sound(whole, rate)


def build_timeline(parts: Sequence[TimelinePart], fps: float | Fraction) -> Timeline:
    """Place ``parts`` one after another at ``fps``; each takes whole frames, at least one."""
    rate = Fraction(fps).limit_denominator(1001)
    placed: list[PlacedPart] = []
    first = 0
    for part in parts:
        # Less than a thousandth of a frame over is how seconds were written, not time.
        frames = max(1, math.ceil(part.min_duration * rate - Fraction(1, 1000)))
        placed.append(PlacedPart(part, first, frames, rate))
        first += frames
    return Timeline(tuple(placed), rate)


def concat_speeches(speeches: Sequence[Speech], pause_s: float) -> Speech:
    """Concatenate narrations with ``pause_s`` seconds of silence between them.

    Samples are float32 (n,) in -1..1.

    Raises:
        ValueError: there is no narration, or the sample rates differ.
    """

    rates = {speech.sample_rate for speech in speeches}
    if len(rates) != 1:
        raise ValueError("narrations can be joined if they have one sample rate")
    [rate] = rates
    silence = np.zeros(round(pause_s * rate), dtype=np.float32)
    sound, words, at = [], [], 0
    for speech in speeches:
        offset = at / rate
        words += [replace(w, start=w.start + offset, end=w.end + offset) for w in speech.words]
        sound += [speech.samples, silence]
        at += len(speech.samples) + len(silence)
    return replace(speeches[0], samples=np.concatenate(sound[:-1]), words=tuple(words))
