"""Speak with a VITS checkpoint of transformers.

VITS (https://arxiv.org/abs/2106.06103) is the one architecture known to run without packages that a
wheel cannot bring: SpeechT5 needs sentencepiece, FastSpeech2 g2p-en.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from models.memory.plans import execution_device
from models.profiles.load import Model
from models.speech import espeak
from models.speech.audio import Samples, audible_range, change_tempo_and_pitch
from models.speech.espeak_voices import estimate_word_starts, find_voice
from models.speech.neural import Backend, SpokenSentence, Timing, primary_language
from models.text.sentences import Span
from models.weights.load import load_model
from models.weights.random_state import random_lock

SUPPORTED_LOADERS = ("VitsModel",)
_SEED = 0  # the same words sound the same every time


class UnknownSpeechModel(ValueError):
    """The profile's speech model has a class that this module does not support."""


class VitsVoice:
    """A loaded VITS checkpoint; concurrent calls run one at a time."""

    backend: Backend = "vits"
    timing: Timing = "estimated"

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self.sample_rate = int(network.config.sampling_rate)
        self._language = primary_language(str(tokenizer.language or "en"))
        speakers = int(network.config.num_speakers)
        names = [str(n) for n in range(speakers)] if speakers > 1 else ["default"]
        self.voices: Mapping[str, str] = dict.fromkeys(names, self._language)
        self.network = network
        self._tokenizer = tokenizer
        self._phonemize = bool(tokenizer.phonemize)
        self._lock = threading.Lock()
        # We write the phonemes ourselves: transformers would ask for the package phonemizer, which
        # wraps the same eSpeak NG.
        tokenizer.phonemize = False

    @classmethod
    def read(cls, model: Model) -> VitsVoice:
        """The voice of ``model`` and its tokenizer, on the CPU.

        Raises:
            UnknownSpeechModel: the model's class is not one of :data:`SUPPORTED_LOADERS`.
            OSError: the weights are missing.
            NonCommercialWeights: the license forbids a paid service.
        """
        if model.loader not in SUPPORTED_LOADERS:
            raise UnknownSpeechModel(
                f"{model.name}: {model.loader} is no speech model this version can run;"
                f" use one of {', '.join(SUPPORTED_LOADERS)}, or espeak-ng"
            )
        import transformers

        network = load_model(model).eval()
        _fold_weight_norms(network)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            model.source,
            revision=model.revision,
            subfolder=model.subfolder,
            local_files_only=True,
        )
        return cls(network, tokenizer)

    def synthesize(
        self, text: str, spans: Sequence[Span], voice: str, rate: float
    ) -> SpokenSentence:
        """See :class:`NeuralVoice`; words are where eSpeak NG says them, stretched to the sound."""
        samples = change_tempo_and_pitch(self._generate(text, voice), self.sample_rate, rate, 1.0)
        first, last = audible_range(samples)
        shares = estimate_word_starts(text, spans, self._language)
        return SpokenSentence(samples, [round(first + share * (last - first)) for share in shares])

    def _generate(self, text: str, voice: str) -> Samples:
        network, device = self.network, execution_device(self.network)
        with self._lock, torch.inference_mode():
            ids = self._tokenizer(self._prepare_text(text), return_tensors="pt").input_ids
            if ids.shape[-1] <= 1:  # no letter of the sentence is in its alphabet
                return np.zeros(0, dtype=np.float32)
            devices = [device] if device.type == "cuda" else []
            with random_lock, torch.random.fork_rng(devices=devices):
                torch.manual_seed(_SEED)
                speaker = int(voice) if len(self.voices) > 1 else None
                sound = network(input_ids=ids.to(device), speaker_id=speaker).waveform[0]
        samples: Samples = sound.float().cpu().numpy()
        return samples

    def _prepare_text(self, sentence: str) -> str:
        if not self._phonemize:
            return sentence

        [phonemes] = espeak.to_phonemes([sentence.lower()], find_voice(self._language))
        return phonemes


def _fold_weight_norms(network: Any) -> None:
    """Replace the factors of every normalized weight by the weight.

    Only training needs the factors. They would be multiplied anew at each call, and a layer that
    computes its weight cannot be quantized.
    """

    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
