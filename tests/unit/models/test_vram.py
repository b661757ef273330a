"""Budgets, estimates and what each plan does to a model that is really loaded and run."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.memory.budget import MemoryBudget, NoMemoryBudget
from models.memory.choose_plan import choose_plan
from models.memory.errors import ModelDoesNotFit
from models.memory.estimate import activations_mb, estimate_mb, weights_mb
from models.memory.peaks import MB, PlanRecord
from models.memory.plans import (
    MemoryPlan,
    PlanNotAvailable,
    apply_plan,
    available_plans,
    pipeline_components,
)
from models.profiles.load import Capability, MemoryNeed, load_profile, profile_names
from models.weights.load import load_model
from models.weights.quantize import quantize
from tests.support.component_sizes import measure_components

NEEDS = [
    pytest.param(model.memory, id=f"{name}-{key}")
    for name in profile_names()
    for key, model in load_profile(name).models.items()
]
SDXL = MemoryNeed(
    components={"unet": 4900, "text_encoder": 235, "text_encoder_2": 1325, "vae": 160},
    activations=3000,
    activations_sliced=1000,
)


@pytest.mark.parametrize(
    ("total", "share", "limit"), [(8192, 1.0, 7192), (8192, 0.5, 3346), (24576, 0.25, 5519)]
)
def test_a_budget_is_its_share_after_the_system_less_the_buffer(
    total: int, share: float, limit: int
) -> None:
    assert MemoryBudget.for_device_memory(total, share).limit_mb == limit


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(NoMemoryBudget, match="larger share"):
        MemoryBudget.for_device_memory(8192, 0.05)


def test_the_operator_may_say_the_ram_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < MemoryBudget.detect("cpu").limit_mb < MemoryBudget.detect("cpu").total_mb
    monkeypatch.setenv("ATELIER_RAM_BUDGET_MB", "700")
    budget = MemoryBudget.detect("cpu", 0.1)
    assert (budget.limit_mb, budget.enforce_on_cpu) == (700, True)
    monkeypatch.setenv("ATELIER_RAM_BUDGET_MB", "a lot")
    with pytest.raises(NoMemoryBudget, match="ATELIER_RAM_BUDGET_MB"):
        MemoryBudget.detect("cpu")


class Driver:
    """The calls of PyTorch's driver that ask a card of 8 GB; all above them is PyTorch's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free_mb: int = 7700) -> None:
        self.fractions: dict[int, float] = {}
        memory = SimpleNamespace(cudaMemGetInfo=lambda index: (free_mb * MB, 7967 * MB))
        for module in (torch.cuda, torch.cuda.memory):
            monkeypatch.setattr(module, "_lazy_init", lambda: None)
        monkeypatch.setattr(torch.cuda, "cudart", lambda: memory)
        monkeypatch.setattr(torch._C, "_cuda_getDevice", lambda: 1, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", self._limit, raising=False)

    def _limit(self, fraction: float, index: int) -> None:
        self.fractions[index] = fraction


def test_the_budget_of_a_card_is_enforced_on_the_device_that_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver(monkeypatch)
    budget = MemoryBudget.detect("cuda", 0.5)
    assert (budget.device, budget.limit_mb) == ("cuda:1", int(0.5 * (7967 - 500)) - 500)
    budget.enforce()
    assert driver.fractions == {1: budget.limit_mb / 7967}
    MemoryBudget.for_device_memory(7967, device="cuda").enforce()
    assert driver.fractions == {1: (7967 - 1000) / 7967}


def test_the_budget_of_a_card_leaves_what_a_display_has_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Driver(monkeypatch, free_mb=6000)
    assert MemoryBudget.detect("cuda:0").limit_mb == 6000 - 500
    Driver(monkeypatch, free_mb=400)
    with pytest.raises(NoMemoryBudget, match="other processes left 400 MB"):
        MemoryBudget.detect("cuda:0")


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize("quantization", ["none", "int8", "nf4"])
def test_no_plan_is_estimated_to_need_more_than_the_one_before(
    need: MemoryNeed, quantization: Any
) -> None:
    sizes = [estimate_mb(need, plan, quantization) for plan in MemoryPlan]
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_used_between_steps_is_counted_beside_the_denoiser() -> None:
    components = {"unet": 1000, "text_encoder": 900, "vae": 100}
    alone, controlled, adapted = (
        estimate_mb(
            MemoryNeed(components=components | more, activations=50, activations_sliced=50),
            MemoryPlan.MODEL_OFFLOAD,
            "none",
        )
        for more in ({}, {"canny.controlnet": 400}, {"face.image_encoder": 300, "face.adapter": 70})
    )
    assert (alone, controlled, adapted) == (1150, 1550, 1220)


def test_a_word_embedding_and_an_unpacked_layer_are_not_on_the_device_at_once() -> None:
    """Each is a leaf by itself, and of leaves one is there at a time."""
    parts = {"model": 7000, "embed_tokens": 800}
    need = MemoryNeed(components=parts, activations=400, activations_sliced=400)
    assert activations_mb(need, MemoryPlan.GROUP_OFFLOAD) == 400 + 800


def test_an_adapters_network_is_quantized_whatever_its_model_is_called() -> None:
    need = MemoryNeed(components={"canny.controlnet": 1000}, activations=0, activations_sliced=0)
    assert weights_mb(need, MemoryPlan.QUANTIZED) == 510


def test_the_first_plan_that_fits_is_chosen() -> None:
    chosen = {mb: choose_plan(SDXL, mb) for mb in (10_000, 8_000, 5_500, 4_000, 2_000)}
    assert list(chosen.values()) == list(MemoryPlan)
    assert (
        choose_plan(SDXL, 5_500, available_plans("cpu", "none"), "none") is MemoryPlan.GROUP_OFFLOAD
    )


def test_a_model_that_fits_under_no_plan_says_what_it_needs() -> None:
    least = estimate_mb(SDXL, MemoryPlan.GROUP_OFFLOAD)
    with pytest.raises(ModelDoesNotFit, match=rf"at least {least} MB .* there are 900 MB"):
        choose_plan(SDXL, 900)


def test_an_estimate_is_compared_with_what_was_measured() -> None:
    assert PlanRecord("a", MemoryPlan.SLICED, 110, 100).error_percent == pytest.approx(10)
    assert PlanRecord("a", MemoryPlan.SLICED, 110).error_percent is None


def tiny() -> Any:
    return load_model(load_profile("tiny").model(Capability.TEXT_TO_IMAGE))


def draw(pipeline: Any, size: int = 64) -> Any:
    return pipeline(
        "a red circle", num_inference_steps=3, width=size, height=size, output_type="np",
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip


@pytest.fixture(scope="module")
def plain_picture() -> Any:
    return draw(tiny())


@pytest.mark.parametrize("plan", available_plans("cpu"))
def test_a_pipeline_draws_the_same_picture_under_every_plan(
    plan: MemoryPlan, plain_picture: Any
) -> None:
    pipeline = tiny()
    before = measure_components(pipeline)
    apply_plan(pipeline, plan, "cpu")
    # Quantized weights are a little off: a grey level on average, more at an edge. How weights are
    # held changes no number.
    rough = plan in (MemoryPlan.QUANTIZED, MemoryPlan.GROUP_OFFLOAD)
    for _ in range(2):
        off = np.abs(draw(pipeline) - plain_picture)
        assert off.mean() <= 1 / 255 and off.max() <= 0.1 if rough else off.max() <= 1e-6
    after = measure_components(pipeline)
    if plan is MemoryPlan.QUANTIZED:
        assert after["unet"] < before["unet"] * 0.3, "from 32 bits to 8"
        assert after["vae"] == before["vae"]
    if plan is MemoryPlan.SLICED:
        assert pipeline.vae.use_tiling and pipeline.vae.use_slicing


def test_four_bits_take_a_third_less_than_eight_and_draw_nearly_the_same(
    plain_picture: Any,
) -> None:
    pipeline = tiny()
    before = measure_components(pipeline)["unet"]
    apply_plan(pipeline, MemoryPlan.QUANTIZED, "cpu", "nf4")
    assert measure_components(pipeline)["unet"] < before * 0.175
    assert np.abs(draw(pipeline) - plain_picture).mean() < 0.05


def test_a_picture_of_several_tiles_is_the_untiled_one_but_for_the_seams() -> None:
    latents = torch.randn(1, 4, 144, 144, generator=torch.Generator().manual_seed(0)) / 3
    pipeline = tiny()
    with torch.no_grad():
        whole = pipeline.vae.decode(latents).sample
        apply_plan(pipeline, MemoryPlan.SLICED, "cpu")
        tiled = pipeline.vae.decode(latents).sample
    assert tiled.shape == whole.shape
    assert (tiled - whole).abs().mean() < 0.02


@pytest.mark.parametrize(("kind", "levels"), [("int8", 1 / 254), ("nf4", 0.16)])
def test_a_quantized_weight_is_off_by_half_a_step_at_most(kind: Any, levels: float) -> None:
    layer = torch.nn.Conv2d(16, 33, 3)  # 4752 weights: the last block of 64 is not full
    exact = layer.weight.detach().clone()
    assert quantize(layer, kind) == 1
    assert layer.packed._base is None, "or offloading to disk would leave the base in memory"
    rows = exact.abs().flatten(1).amax(1)[:, None, None, None]
    largest = rows if kind == "int8" else exact.abs().max()
    assert ((layer.weight - exact).abs() <= largest * levels + 1e-6).all()
    assert quantize(layer, kind) == 0, "once is enough"


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_packed_weights_are_parameters_which_alone_group_offloading_takes_off_a_card(
    kind: Any,
) -> None:
    layer = torch.nn.Linear(64, 64)
    assert quantize(layer, kind) == 1
    assert {name for name, _ in layer.named_parameters()} >= {"packed", "scale"}
    assert not list(layer.buffers())


def test_what_a_device_cannot_do_is_not_offered() -> None:
    assert MemoryPlan.MODEL_OFFLOAD not in available_plans("cpu")
    assert set(available_plans("cuda")) == set(MemoryPlan)
    assert MemoryPlan.QUANTIZED not in available_plans("cuda", "none")
    with pytest.raises(PlanNotAvailable):
        apply_plan(torch.nn.Linear(2, 2), MemoryPlan.MODEL_OFFLOAD, "cpu")


def test_a_single_model_is_one_part() -> None:
    layer = torch.nn.Linear(512, 512)
    assert list(pipeline_components(layer)) == ["model"]
    assert measure_components(layer) == {"model": (512 * 512 + 512) * 4}
    assert measure_components(layer)["model"] > MB
