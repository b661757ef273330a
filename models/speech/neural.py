"""Run neural voices from transformers.

VITS (https://arxiv.org/abs/2106.06103) is the one architecture known to run without packages that a
wheel cannot bring: SpeechT5 needs sentencepiece, FastSpeech2 g2p-en.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from models.memory.plans import execution_device
from models.profiles.load import Model
from models.speech import espeak
from models.speech.audio import Samples
from models.weights.load import load_model

SUPPORTED_LOADERS = ("VitsModel",)
_SEED = 0  # the same words sound the same every time

# Checkpoints name their language by ISO 639-3, people by BCP 47. What is not here is not shortened.
_TWO_LETTER_CODES = {
    "ara": "ar", "ben": "bn", "cmn": "zh", "deu": "de", "eng": "en", "fra": "fr", "hin": "hi",
    "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pol": "pl", "por": "pt",
    "ron": "ro", "rus": "ru", "spa": "es", "swe": "sv", "tam": "ta", "tel": "te", "tha": "th",
    "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi", "zho": "zh",
}  # fmt: skip


class UnknownSpeechModel(ValueError):
    """The profile's speech model has a class that this module does not support."""


class NeuralVoice:
    """A loaded VITS checkpoint; concurrent calls run one at a time."""

    def __init__(self, model: Model, network: Any, tokenizer: Any) -> None:
        self.name = model.name
        self.sample_rate = int(network.config.sampling_rate)
        self.language = primary_language(str(tokenizer.language or "en"))
        speakers = int(network.config.num_speakers)
        self.voices = tuple(str(n) for n in range(speakers)) if speakers > 1 else ("default",)
        self.network = network
        self._tokenizer = tokenizer
        self._phonemize = bool(tokenizer.phonemize)
        self._lock = threading.Lock()
        # We write the phonemes ourselves: transformers would ask for the package phonemizer, which
        # wraps the same eSpeak NG.
        tokenizer.phonemize = False

    @classmethod
    def read(cls, model: Model) -> NeuralVoice:
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
        return cls(model, network, tokenizer)

    def synthesize(self, sentence: str, voice: str) -> Samples:
        """Synthesize one sentence at the checkpoint's own pace, with one of :attr:`voices`.

        Returns float32 samples of shape (n,) in -1..1.
        """

        network, device = self.network, execution_device(self.network)
        with self._lock, torch.inference_mode():
            ids = self._tokenizer(self._prepare_text(sentence), return_tensors="pt").input_ids
            if ids.shape[-1] <= 1:  # no letter of the sentence is in its alphabet
                return np.zeros(0, dtype=np.float32)
            devices = [device] if device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(_SEED)
                speaker = int(voice) if len(self.voices) > 1 else None
                sound = network(input_ids=ids.to(device), speaker_id=speaker).waveform[0]
        samples: Samples = sound.float().cpu().numpy()
        return samples

    def _prepare_text(self, sentence: str) -> str:
        if not self._phonemize:
            return sentence

        voice = "en-us" if self.language == "en" else self.language
        return espeak.to_phonemes(sentence.lower(), voice)


def _fold_weight_norms(network: Any) -> None:
    """Replace the factors of every normalized weight by the weight.

    Only training needs the factors. They would be multiplied anew at each call, and a layer that
    computes its weight cannot be quantized.
    """

    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")


def primary_language(language: str) -> str:
    """Return the primary subtag in its shortest form: ``en-US`` and ``eng`` give ``en``."""
    code = language.replace("_", "-").lower().partition("-")[0]
    return _TWO_LETTER_CODES.get(code, code)
