"""Where weights are packed, and where their bits lie."""

import pytest
import torch
from torch import nn

from models.memory.estimate import activations_mb, weights_mb
from models.memory.plans import MemoryPlan, apply_plan
from models.profiles.load import MemoryNeed
from models.weights import quantize as module
from models.weights.quantize import Quantization


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


def test_an_estimate_keeps_the_word_embeddings_of_a_text_encoder_whole() -> None:
    need = MemoryNeed(
        components={"text_encoder": 1000}, embeddings={"text_encoder": 200},
        activations=0, activations_sliced=0,
    )  # fmt: skip
    assert weights_mb(need, MemoryPlan.QUANTIZED, "nf4") == round(200 + 0.28 * 800)
    assert activations_mb(need, MemoryPlan.GROUP_OFFLOAD, "none") == 200, "one leaf"


@pytest.mark.parametrize(("kind", "copies"), [("int8", 1), ("nf4", 2)])
def test_a_layer_is_unpacked_with_little_beside_it(kind: Quantization, copies: int) -> None:
    """Its largest layer decides what a small card needs beyond the packed weights."""
    layer = nn.Linear(1024, 1024).to(torch.bfloat16)
    module.quantize(layer, kind)
    with torch.profiler.profile(profile_memory=True) as profile, torch.no_grad():
        weight = layer.weight
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
    assert allocated <= copies * weight.nbytes
