"""Where weights are packed, and where their bits lie."""

import pytest
import torch
from torch import nn

from models.memory.plans import MemoryPlan, apply_plan
from models.weights import quantize as module


def test_a_card_packs_one_weight_at_a_time_and_the_bits_go_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No device but the CPU is here: what is packed elsewhere is told by its device."""
    packed_on = []

    def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        packed_on.append(weight.device.type)
        return {"packed": torch.zeros(weight.shape, dtype=torch.int8), "scale": torch.ones(64)}

    monkeypatch.setattr(module, "_pack_int8", pack)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    assert module.quantize(network, "int8", "meta") == 2
    assert packed_on == ["meta", "meta"]
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


def test_a_plan_packs_where_it_will_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "models.memory.plans.quantize", lambda _, kind, device: asked.append((kind, device)) or 0
    )
    apply_plan(nn.Linear(64, 64), MemoryPlan.QUANTIZED, "meta", "nf4")
    assert asked == [("nf4", "meta")]
