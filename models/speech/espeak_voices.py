"""Choose a voice of eSpeak NG, and find the words in what it says."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from models.speech import espeak
from models.speech.audio import audible_range
from models.speech.errors import SpeechUnavailable, UnknownVoice, UnsupportedLanguage
from models.speech.neural import SpokenSentence, primary_language
from models.text.sentences import Span

# "en" alone is eSpeak's name of British English.
_ALIASES = {
    "en": "en-us", "zh-cn": "cmn", "zh-hans": "cmn", "zh-tw": "cmn", "zh-hant": "cmn",
    "zh-hk": "yue",
}  # fmt: skip


def canonical_tag(language: str) -> str:
    """Return a BCP 47 tag in lower case, and in eSpeak's own words where those differ."""
    code = language.replace("_", "-").lower()
    return _ALIASES.get(code, code)


def find_voice(language: str, requested: str | None = None) -> str:
    """Return the voice of eSpeak NG for ``language``, or ``requested`` if that speaks it.

    Raises:
        SpeechUnavailable: eSpeak NG is not installed.
        UnsupportedLanguage, UnknownVoice: no voice speaks the language, or not the one requested.
    """
    try:
        tongues = espeak.list_voices()
    except espeak.EspeakMissing as missing:
        raise SpeechUnavailable(f"nothing here speaks {language!r}: {missing}") from missing
    code = canonical_tag(language)
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


def say(text: str, spans: Sequence[Span], voice: str, rate: float, pitch: float) -> SpokenSentence:
    """Say one sentence, whose words are at ``spans``; ``rate`` and ``pitch`` are factors."""
    clip = espeak.synthesize(text, voice, rate, pitch)
    starts = _word_starts(text, spans, clip.marks, clip.samples.size)
    return SpokenSentence(clip.samples, starts)


def estimate_word_starts(text: str, spans: Sequence[Span], language: str) -> list[float]:
    """Estimate where each word starts as a fraction of the sentence: where eSpeak NG says it, or by
    the letters before it where eSpeak lacks the language."""
    try:
        spoken = say(text, spans, find_voice(language), 1.0, 1.0)
    except (SpeechUnavailable, UnsupportedLanguage):
        return [span.start / len(text) for span in spans]
    first, last = audible_range(spoken.samples)
    shares = ((start - first) / max(last - first, 1) for start in spoken.starts)
    return [min(max(share, 0.0), 1.0) for share in shares]


def _word_starts(
    text: str, spans: Sequence[Span], marks: tuple[tuple[int, int], ...], length: int
) -> list[int]:
    """Return the sample at which each word starts.

    Words without a mark (the library spells some scripts as one word) are interpolated between
    their neighbors.
    """
    marked: dict[int, int] = {}
    for span in spans:
        at = [sample for char, sample in marks if span.start <= char < span.end]
        if at:
            marked[span.start] = min(at)
    chars, samples = [*marked, len(text)], [*marked.values(), length]
    starts = np.interp([span.start for span in spans], chars, samples)
    return [int(start) for start in np.maximum.accumulate(starts)]
