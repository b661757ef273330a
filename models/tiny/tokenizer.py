"""The pack's CLIP tokenizer, with byte-pair merges learned from the synthetic captions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from models.tiny.world import caption, random_person, random_shape

MAX_TOKENS = 24
_VOCABULARY = 700


def build_tokenizer(seed: int = 5) -> CLIPTokenizer:
    """Train a CLIPTokenizer on synthetic captions; other text still splits into bytes."""
    rng = random.Random(seed)
    corpus = [caption(random_person(rng)) for _ in range(2000)]
    corpus += [caption(random_shape(rng)) for _ in range(2000)]
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        end_of_word_suffix="</w>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789.,!?-':;"),
        min_frequency=2,
        show_progress=False,
    )
    learner.train_from_iterator(corpus, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # CLIP's vocabulary starts with every byte, alone and at the end of a word.
    letters = list(bytes_to_unicode().values())
    words = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    with TemporaryDirectory() as folder:
        vocab, rules = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps(vocabulary))
        rules.write_text("#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in merges) + "\n")
        return CLIPTokenizer(
            vocab=str(vocab),
            merges=str(rules),
            model_max_length=MAX_TOKENS,
            pad_token="<|endoftext|>",
        )
