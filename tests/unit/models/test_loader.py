"""Every model is held as its memory plan says: the writer, the voice, and all that will come."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field

import models
from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.memory.loader import NETWORK_PLANS, CapabilityModel
from models.memory.peaks import MB
from models.memory.plans import MemoryPlan, execution_device
from models.mesh.shap_e import MeshGenerator
from models.profiles.load import Capability, MemoryNeed, Profile
from models.speech.narrator import Narrator
from models.speech.speech import Speech, SpeechRequest
from models.weights.quantize import quantize
from models.writing.requests import TextRequest, WriterResult
from models.writing.writer import Writer
from tests.support.component_sizes import measure_components
from tests.support.miniatures import talking
from tests.support.miniatures.profile import entry, profile
from tests.support.simulated_gpu import card

PACKAGE = Path(models.__file__).parent
ROOM = 2  # MB that a request takes beyond the weights


class Answer(BaseModel):
    title: str = Field(min_length=2, max_length=12)
    tags: list[Annotated[str, Field(max_length=6)]] = Field(min_length=1, max_length=2)
    right: bool


QUESTION = TextRequest("Answer.", "Tides", Answer, max_tokens=120, temperature=0)


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A language model of some 13 MB, as a profile would name it."""
    folder = talking.qwen(
        tmp_path_factory.mktemp("qwen"), hidden_size=256, intermediate_size=1024,
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    return named(Capability.TEXT, "Qwen2ForCausalLM", folder)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A neural voice of some 12 MB, most of it convolutions, as real ones are."""
    folder = talking.vits(
        tmp_path_factory.mktemp("vits"), hidden_size=96, flow_size=96, ffn_dim=384,
        num_hidden_layers=4, upsample_initial_channel=256, prior_encoder_num_wavenet_layers=4,
        prior_encoder_num_flows=2,
    )  # fmt: skip
    return named(Capability.SPEECH, "VitsModel", folder)


def named(capability: Capability, loader: str, folder: Path) -> Profile:
    """A profile whose model weighs what its file does."""
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / MB
    need = MemoryNeed(
        components={"model": round(weights)}, activations=ROOM, activations_sliced=ROOM
    )
    return profile(capability, entry(loader, folder, memory=need))


def budget_for(
    loader_of: type[CapabilityModel], plan: MemoryPlan, profile: Profile
) -> MemoryBudget:
    """A budget that ``plan`` meets and no faster plan does."""
    loader = loader_of.loader(profile)
    limit = loader.estimate_mb(plan)
    faster = NETWORK_PLANS[: NETWORK_PLANS.index(plan)]
    assert all(loader.estimate_mb(other) > limit for other in faster)
    return MemoryBudget("cpu", 24_000, limit)


@pytest.mark.parametrize("plan", [MemoryPlan.QUANTIZED, MemoryPlan.GROUP_OFFLOAD])
def test_a_writer_is_held_as_its_budget_asks_and_writes_json(
    writers: Profile, plan: MemoryPlan
) -> None:
    budget = budget_for(Writer, plan, writers)
    cache = ModelCache(budget)

    def write(writer: Writer) -> tuple[WriterResult, float]:
        with card(writer.network) as watched:
            return writer.write(QUESTION), watched.peak_mb

    written, peak = cache.run(Writer.loader(writers), write)
    assert cache.stats().plans == {"text:miniature": plan.value}
    assert isinstance(written.value, Answer)
    assert written.backend == "model"
    assert peak <= budget.limit_mb - ROOM
    assert cache.stats().ooms == 0


def test_a_writer_whose_layers_come_and_go_writes_the_same(writers: Profile) -> None:
    exact = replace(Writer.loader(writers), quantization="none")
    whole, offloaded = (
        exact.load(plan, "cpu").write(QUESTION).value
        for plan in (MemoryPlan.RESIDENT, MemoryPlan.GROUP_OFFLOAD)
    )
    assert whole == offloaded


@pytest.mark.parametrize("plan", [MemoryPlan.QUANTIZED, MemoryPlan.GROUP_OFFLOAD])
def test_a_voice_is_held_as_its_budget_asks_and_speaks(voices: Profile, plan: MemoryPlan) -> None:
    budget = budget_for(Narrator, plan, voices)
    cache = ModelCache(budget)

    def speak(narrator: Narrator) -> tuple[Speech, float]:
        with card(narrator.network) as watched:
            return narrator.speak(SpeechRequest("the tide comes in")), watched.peak_mb

    speech, peak = cache.run(Narrator.loader(voices), speak)
    assert cache.stats().plans == {"speech:miniature": plan.value}
    assert speech.backend == "vits"
    assert np.abs(speech.samples).max() > 0.1
    assert peak <= budget.limit_mb - ROOM


def test_folded_weight_norms_say_the_same(voices: Profile) -> None:
    from transformers import VitsModel

    from models.speech.vits import _fold_weight_norms

    network = VitsModel.from_pretrained(voices.model(Capability.SPEECH).source).eval()

    def heard() -> torch.Tensor:
        torch.manual_seed(0)
        with torch.inference_mode():
            sound: torch.Tensor = network(input_ids=torch.arange(1, 9)[None], speaker_id=0).waveform
        return sound

    before = heard()
    _fold_weight_norms(network)
    assert torch.allclose(before, heard(), atol=1e-5)
    whole = measure_components(network)["model"]
    assert quantize(network, "int8") > 10
    assert measure_components(network)["model"] < 0.4 * whole


def test_the_head_of_a_language_model_keeps_its_precision(writers: Profile) -> None:
    network = Writer.loader(writers).load(MemoryPlan.QUANTIZED, "cpu").network
    assert type(network.get_output_embeddings()) is torch.nn.Linear
    assert "int8" in type(network.model.layers[0].mlp.up_proj).__name__


def test_only_pipelines_offload_whole_components(writers: Profile) -> None:
    assert Writer.loader(writers).available_plans("cuda") == NETWORK_PLANS
    shapes = profile(Capability.MESH, entry("ShapEPipeline", PACKAGE))
    assert MeshGenerator.loader(shapes).available_plans("cuda") == tuple(MemoryPlan)


def test_a_network_computes_where_its_layers_are_fetched_to(writers: Profile) -> None:
    from diffusers.hooks import apply_group_offloading

    network = Writer.read(writers).network
    assert execution_device(network) == torch.device("cpu")
    card_zero = torch.device("cuda:0")  # only named: nothing is fetched before the first call
    apply_group_offloading(network, card_zero, torch.device("cpu"), offload_type="leaf_level")
    assert next(network.parameters()).device == torch.device("cpu")
    assert execution_device(network) == card_zero


# --- no way around the loader ---------------------------------------------------------------------


def calls(folder: Path) -> Iterator[tuple[str, ast.Call]]:
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield str(file.relative_to(PACKAGE.parent)), node


def name_of(call: ast.Call) -> str:
    """The last part of what is called: ``load`` of ``weights.load(model)``."""
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_plans_are_applied_by_the_loader_alone() -> None:
    applying = {where for where, call in calls(PACKAGE) if name_of(call) == "apply_plan"}
    assert applying == {"models/memory/loader.py"}


def test_nothing_that_was_read_is_moved_by_hand() -> None:
    moving = [
        f"{where}:{call.lineno}"
        for where, call in calls(PACKAGE)
        if name_of(call) in ("to", "cuda") and isinstance(call.func, ast.Attribute)
        for inner in ast.walk(call.func.value)
        if isinstance(inner, ast.Call)
        and name_of(inner) in ("load", "load_model", "from_pretrained")
    ]
    assert not moving


def test_every_class_that_is_read_for_a_profile_extends_the_base() -> None:
    import importlib

    reading = [
        (file, node.name)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name == "read"
        if [argument.arg for argument in part.args.args] == ["cls", "profile"]
    ]
    assert len(reading) >= 8
    for file, name in reading:
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        assert issubclass(getattr(importlib.import_module(module), name), CapabilityModel), name


def test_no_generator_makes_a_loader_of_its_own() -> None:
    made = {
        where
        for where, call in calls(PACKAGE.parent / "deployments")
        if name_of(call) == "ModelLoader"
    }
    assert not made
