"""Miniatures that come with their tokenizer: they write text or speak it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    VitsConfig,
    VitsModel,
    VitsTokenizer,
)

LETTERS = " abcdefghijklmnopqrstuvwxyz"
_JSON = (
    '{"title":"Tides","sections":[{"title":"Why tides happen","narration":"The Moon pulls the'
    ' water.","bullets":["Spring tide: water rises most"],"steps":[]}],"quiz":[{"question":"The'
    ' sea rises ____.","answer":"twice a day"}]}'
)


def qwen(folder: Path, **sizes: Any) -> Path:
    """A language model with random weights, in the files of a real checkpoint.

    Some tokens hold several bytes, such as ``":["`` and ``"},{"``, so one of them may open a lot.
    """
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=318, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator([_JSON] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {
        "vocab_size": 352,  # or more than the tokenizer's own, as real ones are
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 12_000,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Qwen2Config(**{**shape, **sizes})
    Qwen2ForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


def vits(folder: Path, phonemize: bool = False, alphabet: str = LETTERS, **sizes: Any) -> Path:
    """An English voice of two speakers with random weights, in the files of a real checkpoint."""
    vocabulary = {"<pad>": 0, **{letter: n for n, letter in enumerate(alphabet, start=1)}}
    source = folder / "vocab.json"
    source.write_text(json.dumps(vocabulary))
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "ffn_dim": 32,
        "flow_size": 16,
        "num_speakers": 2,
        "speaker_embedding_size": 8,
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "prior_encoder_num_flows": 1,
        "prior_encoder_num_wavenet_layers": 1,
        "posterior_encoder_num_wavenet_layers": 1,
        "duration_predictor_num_flows": 1,
        "duration_predictor_filter_channels": 16,
        "use_stochastic_duration_prediction": False,
        "speaking_rate": 0.1,
    }
    model = VitsModel(VitsConfig(**{**shape, **sizes}))
    model.save_pretrained(folder / "vits", safe_serialization=True)
    VitsTokenizer(source, language="eng", phonemize=phonemize).save_pretrained(folder / "vits")
    return folder / "vits"
