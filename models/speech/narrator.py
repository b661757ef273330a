"""Narrate text: synthesize speech and compute the time of every word.

If the profile's ``speech`` capability names a neural model, its weights are present and it supports
the language, that model speaks; otherwise eSpeak NG speaks. The result names the voice used.
``ATELIER_SPEECH=espeak-ng`` has eSpeak NG speak in place of Kokoro: it takes hardly any time.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from models.cores import usable_cores
from models.memory.loader import NO_MEMORY, CapabilityModel
from models.profiles.load import KOKORO, Capability, MemoryNeed, Model, Profile
from models.speech import espeak
from models.speech.audio import (
    Samples,
    audible_range,
    change_tempo_and_pitch,
    normalize_loudness,
    silence,
    with_fades,
)
from models.speech.errors import (
    NothingToSpeak,
    SpeechError,
    SpeechUnavailable,
    TextTooLong,
    UnknownVoice,
)
from models.speech.espeak_voices import canonical_tag, find_voice, say
from models.speech.kokoro.voice import KokoroVoice
from models.speech.neural import Backend, NeuralVoice, Timing, primary_language
from models.speech.speech import OnSentence, Speech, SpeechRequest, Voice, Word
from models.speech.vits import VitsVoice
from models.text.read_aloud import read_aloud
from models.text.sentences import Sentence, Span, sentences, words

MAX_CHARACTERS = 20_000  # some twenty-five minutes
SLOWEST, FASTEST = 0.5, 2.0
LOWEST, HIGHEST = 0.5, 2.0
_SENTENCE_PAUSE, _PARAGRAPH_PAUSE = 0.25, 0.6  # seconds at rate 1
_BREATH = 0.1  # seconds at rate 1, within a sentence that is too long to be said in one go
_log = logging.getLogger(__name__)


class _TrimmedSentence(NamedTuple):
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

        If a neural model's weights are missing or it is switched off, the narrator logs that and
        eSpeak NG speaks instead.

        Raises:
            SpeechUnavailable: eSpeak NG is missing too.
            NonCommercialWeights: the license forbids a paid service.
        """
        model = _model_of(profile)
        if model is None:
            return cls()
        voice = profile.capability_config(Capability.SPEECH).voice
        try:
            return cls(_read_neural(model), voice)
        except OSError as missing:
            _log.warning("%s does not speak, eSpeak NG does: %s", model.name, missing)
            return cls(voice=voice)

    def voices(self) -> tuple[Voice, ...]:
        """List every voice, the neural ones first."""
        voices = []
        if self._neural is not None:
            voices += [
                Voice(name, (language,), self._neural.backend)
                for name, language in self._neural.voices.items()
            ]
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
        neural, voice = self._choose_voice(request)
        rate = neural.sample_rate if neural is not None else espeak.SAMPLE_RATE
        sound: list[Samples] = []
        timed: list[Word] = []
        length = 0
        for number, piece in enumerate(pieces, start=1):
            spans = words(piece.text)
            said = _say_sentence(piece.text, spans, request, neural, voice)
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
        samples = normalize_loudness(np.concatenate(sound))
        if not samples.any():
            raise NothingToSpeak(f"the voice {voice!r} has no sound for any letter of the text")
        backend: Backend = neural.backend if neural is not None else "espeak-ng"
        timing: Timing = neural.timing if neural is not None else "exact"
        return Speech(samples, rate, tuple(timed), backend, voice, timing)

    def _choose_voice(self, request: SpeechRequest) -> tuple[NeuralVoice | None, str]:
        """Return the neural model, or ``None`` for eSpeak NG, and the name of the voice."""
        language, requested = request.language, request.voice
        if self._neural is not None:
            speaking = self._neural_voices_for(self._neural, language)
            if requested is None and speaking:
                return self._neural, speaking[0]
            if requested is not None and requested.lower() in self._neural.voices:
                if requested.lower() in speaking:
                    return self._neural, requested.lower()
                raise UnknownVoice(f"the voice {requested!r} does not speak {language!r}")
        return None, find_voice(language, requested or self._default_for_espeak(language))

    def _neural_voices_for(self, neural: NeuralVoice, language: str) -> list[str]:
        """The voices that speak ``language``: its region's first, and of those the default."""
        tag = canonical_tag(language)
        speaking = [
            name
            for name, spoken in neural.voices.items()
            if primary_language(spoken) == primary_language(tag)
        ]
        return sorted(
            speaking, key=lambda name: (neural.voices[name] != tag, name != self._default)
        )

    def _default_for_espeak(self, language: str) -> str | None:
        """Return the profile's voice if it is one of eSpeak's that speaks ``language``."""
        for voice in self.voices() if self._default else ():
            languages = {primary_language(code) for code in voice.languages}
            if (
                voice.backend == "espeak-ng"
                and voice.name == str(self._default).partition("+")[0]
                and primary_language(language) in languages
            ):
                return self._default
        return None


def _read_neural(model: Model) -> NeuralVoice | None:
    """The neural voice of ``model``, on the CPU; ``None`` where eSpeak NG is the model."""
    if model.loader == KOKORO:
        # Not as many as PyTorch: it has one where the diffusion engine computes on the same cores.
        return KokoroVoice.read(usable_cores())
    return None if model.is_built_in else VitsVoice.read(model)


def _say_sentence(
    text: str, spans: list[Span], request: SpeechRequest, neural: NeuralVoice | None, voice: str
) -> _TrimmedSentence:
    """Say one sentence; its words, at ``spans`` of what is written, may be read otherwise."""
    read = read_aloud(text, request.language)
    heard = [read.heard(span) for span in spans]
    if neural is None:
        return _trim_silence(*say(read.text, heard, voice, request.rate, request.pitch))
    said = neural.synthesize(read.text, heard, voice, request.rate)
    pitched = change_tempo_and_pitch(said.samples, neural.sample_rate, 1.0, request.pitch)
    return _trim_silence(pitched, said.starts)


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


def _trim_silence(samples: Samples, starts: list[int]) -> _TrimmedSentence:
    """Trim silence at both ends; a word ends with its own sound, not at the next word."""
    first, last = audible_range(samples)
    inside = [min(max(start, first), last) - first for start in starts]
    inside[0] = 0
    samples, times = samples[first:last], []
    for start, following in zip(inside, [*inside[1:], last - first], strict=True):
        quiet_from = audible_range(samples[start:following])[1]
        times.append((start, start + quiet_from))
    return _TrimmedSentence(samples, times)
