"""What the narrator asks of a neural voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from models.speech.audio import Samples
from models.text.sentences import Span

Backend: TypeAlias = Literal["espeak-ng", "kokoro", "vits"]
Timing: TypeAlias = Literal["exact", "estimated"]

# Checkpoints name their language by ISO 639-3, people by BCP 47. What is not here is not shortened.
_TWO_LETTER_CODES = {
    "ara": "ar", "ben": "bn", "cmn": "zh", "deu": "de", "eng": "en", "fra": "fr", "hin": "hi",
    "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pol": "pl", "por": "pt",
    "ron": "ro", "rus": "ru", "spa": "es", "swe": "sv", "tam": "ta", "tel": "te", "tha": "th",
    "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi", "zho": "zh",
}  # fmt: skip


class SpokenSentence(NamedTuple):
    """One sentence: its samples, and the sample at which each of its words starts."""

    samples: Samples
    starts: list[int]


class NeuralVoice(Protocol):
    """A loaded model with one or more voices; calls may come from several threads.

    ``voices`` are names with their languages (BCP 47, lower case), the usual one of a language
    first. ``network`` is what a memory plan is applied to, or ``None``. ``timing`` says whether the
    model reports when a word starts. The same text always gives the same samples.
    """

    backend: Backend
    timing: Timing
    sample_rate: int
    network: Any
    voices: Mapping[str, str]

    def synthesize(
        self, text: str, spans: Sequence[Span], voice: str, rate: float
    ) -> SpokenSentence:
        """Say one sentence, whose words are at ``spans``, ``rate`` times as fast as usual."""
        ...


def primary_language(language: str) -> str:
    """Return the primary subtag in its shortest form: ``en-US`` and ``eng`` give ``en``."""
    code = language.replace("_", "-").lower().partition("-")[0]
    return _TWO_LETTER_CODES.get(code, code)
