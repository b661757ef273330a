"""Write the phonemes that Kokoro was trained on, and say which word each belongs to.

eSpeak NG transcribes; Kokoro writes diphthongs and affricates as one letter, as misaki, its own
transcriber, does (https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md).
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np

from models.speech import espeak

_TIE = "^"
_STRESS = "ˈˌ"
# Each table is applied from top to bottom.
_EVERYWHERE = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y",
    "d^ʒ": "ʤ", "t^ʃ": "ʧ", "d^z": "ʣ", "t^s": "ʦ",
}  # fmt: skip
_ENGLISH = {
    "ʔn̩": "tᵊn", "ʔn": "tᵊn", "ʔ": "t", "n̩": "ᵊn", "l̩": "ᵊl", "m̩": "ᵊm", "ə^l": "ᵊl",
    "ʲ": "", "r": "ɹ", "x": "k", "ç": "k", "ɬ": "l", "ɐ": "ə", "ɚ": "əɹ", "\u0303": "",
}  # fmt: skip
_AMERICAN = {"ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪ^ə": "iə", "ɾ": "T", "ː": "", "e": "A", "o": "ɔ"}
_BRITISH = {"e^ə": "ɛː", "i^ə": "ɪə", "e": "A"}
MAX_PHONEMES = 510  # at a time
_SPACE_NEARBY = 2  # letters


class Transcript(NamedTuple):
    """Phonemes of a sentence; its words begin at ``starts``, positions in ``phonemes``."""

    phonemes: str
    starts: tuple[int, ...]


def transcribe(words: Sequence[str], voice: str, alphabet: Container[str]) -> Transcript:
    """Transcribe a sentence, given in words with their punctuation, by eSpeak's ``voice``.

    Phonemes that are not in ``alphabet`` are left out.

    eSpeak says a sentence as a whole, because neighbors change a word ("the" before a vowel), and
    writes some words as one. Each word is transcribed alone too, to find where it begins.
    """
    whole, *alone = espeak.to_phonemes([" ".join(words), *words], voice, _TIE)
    starts = _find_starts(
        whole, [word.translate({ord(c): None for c in _STRESS}) for word in alone]
    )
    phonemes, begins = "", []
    for start, end in zip(starts, [*starts[1:], len(whole)], strict=True):
        begins.append(len(phonemes))
        known = [c for c in _as_kokoro(whole[start:end].strip(), voice) if c in alphabet]
        phonemes += "".join(known) + " " if known else ""
    return Transcript(phonemes.rstrip(), tuple(begins))


def split_transcript(script: Transcript) -> list[Transcript]:
    """Split what is longer than the model takes, at phrases where it can, else between words."""
    pieces = []
    while len(script.phonemes) > MAX_PHONEMES:
        cut = _find_cut(script)
        inside = [place for place in script.starts if place < cut]
        pieces.append(Transcript(script.phonemes[:cut].rstrip(), tuple(inside)))
        outside = [place - cut for place in script.starts[len(inside) :]]
        script = Transcript(script.phonemes[cut:], tuple(outside))
    # A last word without a sound starts where the sentence ends.
    end = len(script.phonemes)
    return [*pieces, Transcript(script.phonemes, tuple(min(at, end) for at in script.starts))]


def _find_cut(script: Transcript) -> int:
    window = script.phonemes[: MAX_PHONEMES + 1]
    for ends in (r"[;:.!?—…] ", r"[,)”] ", " "):
        cuts = [match.end() for match in re.finditer(ends, window)]
        if cuts and cuts[-1] > MAX_PHONEMES // 4:
            return cuts[-1]
    return MAX_PHONEMES


def _find_starts(whole: str, words: list[str]) -> list[int]:
    """Return where each of ``words`` begins in ``whole``, which spells them a little otherwise."""
    blocks = SequenceMatcher(None, "".join(words), whole, autojunk=False).get_matching_blocks()
    spelled = [place for block in blocks for place in (block.a, block.a + block.size)]
    found = [place for block in blocks for place in (block.b, block.b + block.size)]
    lengths = np.cumsum([0, *(len(word) for word in words[:-1])])
    starts = [0]
    for place in np.interp(lengths, spelled, found)[1:]:
        starts.append(_snap(whole, round(float(place)), starts[-1]))
    return starts


def _snap(whole: str, place: int, after: int) -> int:
    """Return the place behind a space next to ``place`` and ``after``, or else ``place``."""
    for distance in range(_SPACE_NEARBY + 1):
        for near in (place - distance, place + distance):
            if after < near <= len(whole) and whole[near - 1] == " ":
                return near
    while place > 0 and whole[place - 1] in _STRESS:  # a mark belongs to the vowel behind it
        place -= 1
    return max(place, after)


def _as_kokoro(phonemes: str, voice: str) -> str:
    tables = [_EVERYWHERE]
    if voice == "en-us":
        tables = [_ENGLISH, _EVERYWHERE, _AMERICAN]
    elif voice == "en":
        tables = [_ENGLISH, {"e^ə": "ɛː", "i^ə": "ɪə"}, _EVERYWHERE, _BRITISH]
    for table in tables:
        for espeaks, kokoros in table.items():
            phonemes = phonemes.replace(espeaks, kokoros)
    return re.sub(r"[\^-]", "", phonemes)
