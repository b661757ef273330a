"""A narration: what is asked for, and what was said when. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.speech.audio import (
    Samples,
)
from models.speech.neural import Backend, Timing


@dataclass(frozen=True)
class SpeechRequest:
    """A text to narrate.

    ``language`` is a BCP 47 tag. ``voice`` is a name of :meth:`Narrator.voices` (eSpeak's take a
    timbre: ``en-us+f3``); ``None`` selects the profile's default or the language's first voice.
    ``rate`` and ``pitch`` are factors, 0.5 to 2; eSpeak moves the pitch by about two thirds of the
    octaves.
    """

    text: str
    language: str = "en"
    voice: str | None = None
    rate: float = 1.0
    pitch: float = 1.0


@dataclass(frozen=True)
class Word:
    """A word with its punctuation; ``start`` and ``end`` in seconds."""

    text: str
    start: float
    end: float
    ends_sentence: bool = False


@dataclass(frozen=True, eq=False)
class Speech:
    """A narration: ``samples`` are float32 of shape (n,) in -1..1, peaks at most -1 dBFS.

    ``timing`` is ``exact`` where the synthesizer reported the start of each word: eSpeak NG and
    Kokoro do. It is ``estimated`` for VITS, which does not: eSpeak's times for the same sentence
    (or, where eSpeak lacks the language, the letter counts of the words) are stretched to the
    sound's length.
    """

    samples: Samples
    sample_rate: int
    words: tuple[Word, ...]
    backend: Backend
    voice: str
    timing: Timing

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Voice:
    """A selectable voice; ``languages`` are BCP 47 tags in lower case."""

    name: str
    languages: tuple[str, ...]
    backend: Backend


OnSentence = Callable[[int, int], None]
