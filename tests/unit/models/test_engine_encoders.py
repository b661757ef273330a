"""What encoders and tokenizers are asked once, and what they keep for whom."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.diffusion.batching import Engine
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import open_session
from tests.support.miniatures.parts import clip_tokenizer
from tests.support.toy_pipeline import toy

MB = 2**20


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


def test_an_encoder_is_asked_once_for_the_same_words() -> None:
    asked: list[int] = []

    class Encoder(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            asked.append(1)
            return ids * 2

    encoder, other, embeddings = Encoder(), Encoder(), EncoderCache()
    ids = torch.tensor([[1, 2, 3]])
    encode = embeddings.cached(encoder, encoder.forward)
    assert torch.equal(encode(ids), ids * 2)
    assert torch.equal(embeddings.cached(encoder, encoder.forward)(ids.clone()), ids * 2)
    assert len(asked) == 1 and embeddings.hits == 1
    encode(ids, mask=ids)
    encode(ids + 1)
    embeddings.cached(other, other.forward)(ids)
    assert len(asked) == 4


def test_an_encoder_at_the_address_of_an_evicted_one_is_not_taken_for_it() -> None:
    embeddings = EncoderCache()
    ids = torch.tensor([[1]])

    def said(factor: int) -> int:
        encoder = torch.nn.Identity()  # freed at the end: the next is likely to lie where it lay
        return int(embeddings.cached(encoder, lambda ids: ids * factor)(ids))

    assert [said(factor) for factor in range(50)] == list(range(50))


def test_embeddings_keep_within_their_size_and_forget_the_oldest() -> None:
    embeddings = EncoderCache(max_mb=1)
    encoder = torch.nn.Identity()
    calls: list[int] = []

    def forward(number: int) -> torch.Tensor:
        calls.append(number)
        return torch.zeros(100_000)  # 0.4 MB: two fit

    encode = embeddings.cached(encoder, forward)
    for number in (1, 2, 1, 3, 1, 2):
        encode(number)
    assert calls == [1, 2, 3, 2]
