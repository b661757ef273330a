"""What encoders and tokenizers are asked once, and what they keep for whom."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image

from models.diffusion.batching import Engine
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import open_session
from tests.support.miniatures.parts import clip_tokenizer
from tests.support.toy_pipeline import toy


@pytest.mark.usefixtures("often_switching")
def test_requests_that_tokenize_at_once_get_their_own_padding() -> None:
    """A fast tokenizer keeps padding as state, and pipelines call it with two kinds of it."""
    template, engine, embeddings = toy(tokenizer=clip_tokenizer()), Engine(), EncoderCache()

    def lengths(words: str) -> set[tuple[int, int]]:
        with open_session(engine, template, embeddings) as loaded:
            found = set()
            for _ in range(100):
                own = loaded.pipeline.tokenizer
                padded = own(words, padding="max_length", max_length=24, truncation=True)
                whole = own(words, padding="longest", truncation=False)
                found.add((len(padded.input_ids), len(whole.input_ids)))
        return found

    words = ["a" * 5, "b" * 30, "c" * 60, "d" * 12]
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lengths, words))
    engine.close()
    assert found == [{(24, len(word) + 2)} for word in words]


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads take turns a thousand times as often, so that races show."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


# What encoders said.

IDENTITY = torch.nn.Identity()


def test_an_encoder_is_asked_once_for_the_same_words() -> None:
    asked: list[int] = []

    def encode(prompt: str, ids: torch.Tensor, mask: Any = None) -> tuple[torch.Tensor, None]:
        asked.append(1)
        return ids * 2, None

    encoder, other, cache = torch.nn.Identity(), torch.nn.Identity(), EncoderCache()
    ids = torch.tensor([[1, 2, 3]])
    cached = cache.cached([encoder], "encode", encode)
    for _ in range(2):
        doubled, nothing = cached("a cat", ids.clone())
        assert torch.equal(doubled, ids * 2) and nothing is None
    assert torch.equal(cache.cached([encoder], "encode", encode)("a cat", ids)[0], ids * 2)
    assert len(asked) == 1 and cache.hits == 2
    cached("a cat", ids, mask=ids)
    cached("a cat", ids + 1)
    cached("a dog", ids)
    cache.cached([other], "encode", encode)("a cat", ids)
    cache.cached([encoder], "other", encode)("a cat", ids)
    assert len(asked) == 6


def test_reference_pictures_are_told_apart_by_their_pixels() -> None:
    asked: list[int] = []
    cache = EncoderCache()
    cached = cache.cached([IDENTITY], "encode", lambda image: asked.append(1))
    for color in ("red", "red", "blue"):
        cached(image=[Image.new("RGB", (4, 4), color)])
    assert len(asked) == 2


def test_arguments_that_cannot_be_told_apart_are_encoded_each_time() -> None:
    asked: list[int] = []
    cached = EncoderCache().cached([IDENTITY], "encode", lambda what: asked.append(1))
    for _ in range(2):
        cached({1, 2})
    assert len(asked) == 2


def test_an_encoder_at_the_address_of_an_evicted_one_is_not_taken_for_it() -> None:
    cache = EncoderCache()

    def said(factor: int) -> int:
        encoder = torch.nn.Identity()  # freed at the end: the next is likely to lie where it lay
        ids = torch.tensor([[1]])
        return int(cache.cached([encoder], "encode", lambda ids: ids * factor)(ids))

    assert [said(factor) for factor in range(50)] == list(range(50))


def test_encodings_keep_within_their_size_and_forget_the_oldest() -> None:
    calls: list[int] = []

    def encode(number: int) -> list[torch.Tensor]:
        calls.append(number)
        return [torch.zeros(100_000)]  # 0.4 MB: two fit

    cached = EncoderCache(max_mb=1).cached([IDENTITY], "encode", encode)
    for number in (1, 2, 1, 3, 1, 2):
        cached(number)
    assert calls == [1, 2, 3, 2]


def test_encodings_are_kept_on_the_host_and_given_back_on_their_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, sent = torch.device("meta"), torch.ones(2, device="meta")
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: torch.ones(tensor.shape))
    cache = EncoderCache()
    cached = cache.cached([IDENTITY], "encode", lambda prompt: (sent, torch.ones(2)))
    cached("a cat")
    (((kept, _),),) = cache._kept.values()
    assert kept.tensor.device.type == "cpu"
    assert [tensor.device.type for tensor in cached("a cat")] == [card.type, "cpu"]
