"""Narrate text: synthesize speech and compute the time of every word.

If the profile's ``speech`` capability names a neural model, its weights are present and it supports
the language, that model speaks; otherwise eSpeak NG speaks. The result names the voice used.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from models.memory.loader import NO_MEMORY, CapabilityModel
from models.profiles.load import Capability, MemoryNeed, Model, Profile
from models.speech import espeak
from models.speech.audio import (
    Samples,
    audible_range,
    change_tempo_and_pitch,
    normalize_loudness,
    silence,
    with_fades,
)
from models.speech.neural import NeuralVoice, primary_language
from models.text.sentences import Sentence, sentences, words

MAX_CHARACTERS = 20_000  # some twenty-five minutes
SLOWEST, FASTEST = 0.5, 2.0
LOWEST, HIGHEST = 0.5, 2.0
_SENTENCE_PAUSE, _PARAGRAPH_PAUSE = 0.25, 0.6  # seconds at rate 1
_BREATH = 0.1  # seconds at rate 1, within a sentence that is too long to be said in one go
_ALIASES = {"zh-cn": "cmn", "zh-hans": "cmn", "zh-tw": "cmn", "zh-hant": "cmn", "zh-hk": "yue"}
_log = logging.getLogger(__name__)

Backend = Literal["espeak-ng", "neural"]


class SpeechError(ValueError):
    """The request cannot be spoken."""


class NothingToSpeak(SpeechError):
    """The text has no letter and no digit."""


class TextTooLong(SpeechError):
    """The text exceeds the limit for one narration."""


class UnsupportedLanguage(SpeechError):
    """No voice supports the language."""


class UnknownVoice(SpeechError):
    """No voice has the name, or the named voice does not support the language."""


class SpeechUnavailable(RuntimeError):
    """This machine has neither a neural voice nor eSpeak NG."""


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

    ``timing`` is ``exact`` where the synthesizer reported the start of each word. It is
    ``estimated`` for neural voices, which do not: eSpeak's times for the same sentence (or, where
    eSpeak lacks the language, the letter counts of the words) are stretched to the sound's length.
    """

    samples: Samples
    sample_rate: int
    words: tuple[Word, ...]
    backend: Backend
    voice: str
    timing: Literal["exact", "estimated"]

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


class _SpokenSentence(NamedTuple):
    """One sentence: its trimmed samples, and (start, end) samples of its words."""

    samples: Samples
    words: list[tuple[int, int]]


def _model_of(profile: Profile) -> Model | None:
    use = profile.capabilities.get(Capability.SPEECH)
    return profile.models[use.model] if use is not None else None


class Narrator(CapabilityModel):
    """Speaks for one profile; safe to use from several threads."""

    capability = Capability.SPEECH

    def __init__(self, neural: NeuralVoice | None = None, voice: str | None = None) -> None:
        """``voice`` is the default if a request names none and the voice supports its language."""
        if neural is None:
            try:
                espeak.list_voices()
            except espeak.EspeakMissing as missing:
                raise SpeechUnavailable(f"no voice on this machine: {missing}") from missing
        super().__init__(neural.network if neural is not None else None)
        self._neural = neural
        self._default = voice

    @classmethod
    def cache_key(cls, profile: Profile) -> str:
        model = _model_of(profile)
        return f"speech:{model.name if model is not None else 'espeak-ng'}"

    @classmethod
    def memory_need(cls, profile: Profile) -> MemoryNeed:
        """What the neural voice takes; eSpeak NG takes no room."""
        model = _model_of(profile)
        return model.memory if model is not None else NO_MEMORY

    @classmethod
    def read(cls, profile: Profile) -> Narrator:
        """The profile's narrator, its neural voice on the CPU.

        If the weights of a neural model are missing, the narrator logs that and eSpeak NG speaks
        instead.

        Raises:
            SpeechUnavailable: eSpeak NG is missing too.
            NonCommercialWeights: the license forbids a paid service.
        """
        model = _model_of(profile)
        if model is None:
            return cls()
        use = profile.capability_config(Capability.SPEECH)
        if model.is_built_in:
            return cls(voice=use.voice)
        try:
            return cls(NeuralVoice.read(model), use.voice)
        except OSError as missing:
            _log.warning("%s is not there, eSpeak NG speaks instead: %s", model.name, missing)
            return cls(voice=use.voice)

    def voices(self) -> tuple[Voice, ...]:
        """List every voice, the neural ones first."""
        voices = []
        if self._neural is not None:
            languages = (self._neural.language,)
            voices += [Voice(name, languages, "neural") for name in self._neural.voices]
        if espeak.is_available():
            voices += [
                Voice(tongue.name, tuple(code for _, code in tongue.languages), "espeak-ng")
                for tongue in espeak.list_voices()
            ]
        return tuple(voices)

    def speak(self, request: SpeechRequest, on_sentence: OnSentence | None = None) -> Speech:
        """Narrate the whole text.

        The narrator calls ``on_sentence(done, total)`` after each sentence; it may raise to stop.

        Raises:
            NothingToSpeak, TextTooLong, UnsupportedLanguage, UnknownVoice: the request is invalid.
            SpeechError: rate or pitch is out of range.
        """

        pieces = _validate(request)
        backend, voice = self._choose_backend(request)
        rate = espeak.SAMPLE_RATE
        if backend == "neural" and self._neural is not None:
            rate = self._neural.sample_rate
        sound: list[Samples] = []
        timed: list[Word] = []
        length = 0
        for number, piece in enumerate(pieces, start=1):
            said = self._synthesize(piece.text, request, backend, voice)
            spans = words(piece.text)
            for span, (start, end) in zip(spans, said.words, strict=True):
                text = piece.text[span.start : span.end]
                last = piece.ends_sentence and span == spans[-1]
                timed.append(Word(text, (length + start) / rate, (length + end) / rate, last))
            pause = _pause_after(piece)
            rest = silence(pause / request.rate if number < len(pieces) else 0.0, rate)
            sound += [with_fades(said.samples, rate), rest]
            length += said.samples.size + rest.size
            if on_sentence is not None:
                on_sentence(number, len(pieces))
        timing: Literal["exact", "estimated"] = "exact" if backend == "espeak-ng" else "estimated"
        samples = normalize_loudness(np.concatenate(sound))
        if not samples.any():
            raise NothingToSpeak(f"the voice {voice!r} has no sound for any letter of the text")
        return Speech(samples, rate, tuple(timed), backend, voice, timing)

    def _choose_backend(self, request: SpeechRequest) -> tuple[Backend, str]:
        neural, requested = self._neural, request.voice or self._default_voice_for(request.language)
        if (
            neural is not None
            and primary_language(request.language) == neural.language
            and requested in (None, *neural.voices)
        ):
            return "neural", requested or neural.voices[0]
        return "espeak-ng", _espeak_voice(request.language, requested)

    def _default_voice_for(self, language: str) -> str | None:
        """Return the profile's voice unless it does not support ``language``."""
        for voice in self.voices() if self._default else ():
            languages = {primary_language(code) for code in voice.languages}
            if (
                voice.name == str(self._default).partition("+")[0]
                and primary_language(language) in languages
            ):
                return self._default
        return None

    def _synthesize(
        self, text: str, request: SpeechRequest, backend: Backend, voice: str
    ) -> _SpokenSentence:
        if backend == "espeak-ng" or self._neural is None:
            clip = espeak.synthesize(text, voice, request.rate, request.pitch)
            return _trim_silence(clip.samples, _word_starts(text, clip.marks, clip.samples.size))
        spoken = self._neural.synthesize(text, voice)
        samples = change_tempo_and_pitch(
            spoken, self._neural.sample_rate, request.rate, request.pitch
        )
        first, last = audible_range(samples)
        scale = [
            first + part * (last - first) for part in _estimate_word_starts(text, request.language)
        ]
        return _trim_silence(samples, [round(at) for at in scale])


def _pause_after(piece: Sentence) -> float:
    if not piece.ends_sentence:
        return _BREATH
    return _PARAGRAPH_PAUSE if piece.ends_paragraph else _SENTENCE_PAUSE


def _validate(request: SpeechRequest) -> list[Sentence]:
    if len(request.text) > MAX_CHARACTERS:
        raise TextTooLong(
            f"the text has {len(request.text)} characters; at most {MAX_CHARACTERS} are spoken"
            " at a time"
        )
    if not SLOWEST <= request.rate <= FASTEST:
        raise SpeechError(f"rate {request.rate} is outside {SLOWEST}..{FASTEST}")
    if not LOWEST <= request.pitch <= HIGHEST:
        raise SpeechError(f"pitch {request.pitch} is outside {LOWEST}..{HIGHEST}")
    pieces = sentences(request.text, request.language)
    if not pieces:
        raise NothingToSpeak("the text has nothing to say: no letter and no digit")
    return pieces


def _espeak_voice(language: str, requested: str | None) -> str:
    """Return the eSpeak voice for ``language``, or ``requested`` if that supports it."""
    try:
        tongues = espeak.list_voices()
    except espeak.EspeakMissing as missing:
        raise SpeechUnavailable(f"nothing here speaks {language!r}: {missing}") from missing
    code = language.replace("_", "-").lower()
    code = _ALIASES.get(code, code)
    speaking: list[tuple[int, str]] = []
    for tag in (code, code.partition("-")[0], primary_language(code)):
        speaking = speaking or [
            (rank, tongue.name)
            for tongue in tongues
            for rank, tag_of_voice in tongue.languages
            if tag_of_voice == tag
        ]
    if not speaking:
        available = sorted({tag for tongue in tongues for _, tag in tongue.languages})
        raise UnsupportedLanguage(
            f"no voice speaks {language!r}; there are: {', '.join(available)}"
        )
    if requested is None:
        return min(speaking, key=lambda match: match[0])[1]  # of equals the first listed
    name, _, timbre = requested.lower().partition("+")
    speakers = {
        tongue.name
        for tongue in tongues
        if primary_language(code) in {primary_language(tag) for _, tag in tongue.languages}
    }
    if name not in speakers or (timbre and timbre not in espeak.list_variants()):
        near = difflib.get_close_matches(name, speakers) or sorted(speakers)
        raise UnknownVoice(
            f"no voice {requested!r} speaks {language!r}; there are: {', '.join(near)}"
        )
    return name + (f"+{timbre}" if timbre else "")


def _word_starts(text: str, marks: tuple[tuple[int, int], ...], length: int) -> list[int]:
    """Return the sample at which each word starts.

    Words without a mark (the library spells some scripts as one word) are interpolated between
    their neighbors.
    """

    marked: dict[int, int] = {}
    for span in words(text):
        at = [sample for char, sample in marks if span.start <= char < span.end]
        if at:
            marked[span.start] = min(at)
    chars, samples = [*marked, len(text)], [*marked.values(), length]
    starts = np.interp([span.start for span in words(text)], chars, samples)
    return [int(start) for start in np.maximum.accumulate(starts)]


def _estimate_word_starts(text: str, language: str) -> list[float]:
    """Estimate where each word starts as a fraction of the sentence."""
    try:
        clip = espeak.synthesize(text, _espeak_voice(language, None))
    except (SpeechUnavailable, UnsupportedLanguage):
        return [span.start / len(text) for span in words(text)]
    first, last = audible_range(clip.samples)
    length = max(last - first, 1)
    shares = ((s - first) / length for s in _word_starts(text, clip.marks, clip.samples.size))
    return [min(max(fraction, 0.0), 1.0) for fraction in shares]


def _trim_silence(samples: Samples, starts: list[int]) -> _SpokenSentence:
    """Trim silence at both ends; a word ends with its own sound, not at the next word."""
    first, last = audible_range(samples)
    inside = [min(max(start, first), last) - first for start in starts]
    inside[0] = 0
    samples, times = samples[first:last], []
    for start, following in zip(inside, [*inside[1:], last - first], strict=True):
        quiet_from = audible_range(samples[start:following])[1]
        times.append((start, start + quiet_from))
    return _SpokenSentence(samples, times)
