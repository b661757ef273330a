"""What a card tells of itself; nothing is made up where it does not. No card is needed."""

import pytest
import torch

from models.memory.card import card_stats
from models.schemas.memory import CardStats


def test_a_cpu_has_none() -> None:
    assert card_stats("cpu") is None


def test_what_the_driver_tells_is_taken_and_the_rest_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def not_supported(device: str) -> int:
        raise RuntimeError("NVML: not supported")

    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "temperature", not_supported)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 10))
    assert card_stats("cuda:0") == CardStats(0.0, None, used=7, total=10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_driver_nothing_is_known() -> None:
    assert card_stats("cuda") == CardStats(None, None, None, None)
