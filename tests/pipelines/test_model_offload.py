"""Pictures under MODEL_OFFLOAD: where they compute, who changes places when, and what is shared."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.utils.torch_utils import get_module_execution_device

from models.diffusion.batching import Engine
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import open_session
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.loaded_pipeline import MAX_OWN_WEIGHTS, Adapters, LoadedPipeline
from models.diffusion.requests import DiffusionRequest
from models.memory import plans
from models.memory.component_offload import ComponentOffload
from models.memory.plans import MemoryPlan, pipeline_components
from models.profiles.load import Capability, Model
from tests.support.drawing import drawing, memory_plans, off, photo, stable_diffusion_profile
from tests.support.miniatures import flows
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry

CARD = torch.device("meta")  # a device that is not the host's, and that every machine has


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion miniature, with a ControlNet and an IP-Adapter of it."""
    folder = miniatures.stable_diffusion(tmp_path_factory.mktemp("sd"))
    miniatures.controlnet(folder / "control")
    miniatures.ip_adapter(folder / "person")
    return folder


@pytest.fixture
def every_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU offers every plan."""
    monkeypatch.setattr(plans, "available_plans", lambda *_: tuple(MemoryPlan))


def offloaded(model: Model) -> LoadedPipeline:
    """``model`` as it is held beside ``CARD``; packed on the CPU, because a card has no data."""
    loaded = LoadedPipeline(model)
    loaded.place(MemoryPlan.MODEL_OFFLOAD, "cpu", "int8")
    loaded._offload.execution_device = CARD  # type: ignore[union-attr]
    return loaded


@pytest.fixture
def loaded(folder: Path, every_plan: None) -> LoadedPipeline:
    return offloaded(entry("StableDiffusionPipeline", folder))


def person(folder: Path) -> Model:
    return entry(
        "CLIPVisionModelWithProjection", folder / "person", subfolder="models",
        weight_name="ip-adapter.safetensors",
    )  # fmt: skip


def device_of(module: torch.nn.Module) -> torch.device:
    (device,) = {tensor.device for tensor in chain(module.parameters(), module.buffers())}
    return device


@pytest.mark.parametrize(
    ("kind", "build"),
    [
        ("StableDiffusionPipeline", miniatures.stable_diffusion),
        ("StableDiffusionXLPipeline", miniatures.stable_diffusion_xl),
        ("Flux2KleinPipeline", flows.flux2_klein),
        ("QwenImagePipeline", flows.qwen_image),
    ],
)
def test_a_request_computes_where_its_networks_are_fetched_to(
    kind: str, build: Callable[[Path], Any], tmp_path: Path, every_plan: None
) -> None:
    build(tmp_path)
    loaded = offloaded(entry(kind, tmp_path))
    engine, template = Engine(calibrate=False), loaded.variant("text")
    with open_session(engine, template, EncoderCache()) as session:
        assert template._execution_device == session.pipeline._execution_device == CARD
        assert type(session.pipeline).__name__ == kind
        for part in pipeline_components(session.pipeline).values():
            assert get_module_execution_device(part) == CARD  # as klein's pipeline asks
    engine.close()


def test_a_controlnet_computes_beside_the_denoiser_and_is_quantized_as_it_is(
    folder: Path, loaded: LoadedPipeline
) -> None:
    control = entry("ControlNetModel", folder / "control")
    pipeline = loaded.variant("control", Adapters(control=control))
    networks = (pipeline.text_encoder, pipeline.controlnet, pipeline.unet)
    assert any("int8" in type(layer).__name__ for layer in pipeline.controlnet.modules())
    for network in networks:
        assert device_of(network).type == "cpu"
        loaded._offload.pre_forward(network)  # type: ignore[union-attr]
        assert device_of(network) == CARD
    assert device_of(pipeline.controlnet) == CARD, "it would change places at every step"
    assert device_of(pipeline.text_encoder).type == "cpu"
    loaded.rest()
    assert {device_of(network).type for network in networks} == {"cpu"}


def test_adapted_copies_share_the_hosts_weights(folder: Path, loaded: LoadedPipeline) -> None:
    base = dict(loaded.network.unet.named_parameters())
    weights = {name: tensor for name, tensor in base.items() if name.endswith("packed")}
    assert weights
    for scale in (0.3, 0.4, 0.5):
        adapted = loaded.variant("text", Adapters(ip_adapter=person(folder), scale=scale))
        loaded._offload.pre_forward(adapted.unet)  # type: ignore[union-attr]
        assert device_of(adapted.unet) == CARD
        loaded._offload.pre_forward(loaded.network.unet)  # type: ignore[union-attr]
        assert device_of(adapted.unet).type == "cpu", "a copy is one more network that takes turns"
        assert adapted.vae is loaded.network.vae
        own = dict(adapted.unet.named_parameters())
        loaded.rest()
        for name, tensor in weights.items():
            assert own[name] is tensor is loaded.network.unet.get_parameter(name)


def test_a_network_that_does_not_fit_is_put_back_whole(
    loaded: LoadedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, left, move = loaded.network.unet, [9], torch.Tensor.to

    def runs_out(tensor: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError("no memory")
        return move(tensor, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(torch.OutOfMemoryError):
        patch.setattr(torch.Tensor, "to", runs_out)
        loaded._offload.pre_forward(unet)  # type: ignore[union-attr]
    loaded.rest()
    assert device_of(unet).type == "cpu"


def test_layers_that_come_and_go_have_two_copies_of_the_weights_at_most(folder: Path) -> None:
    loaded = LoadedPipeline(entry("StableDiffusionPipeline", folder))
    loaded.place(MemoryPlan.GROUP_OFFLOAD, "cpu", "none")
    for scale in (0.3, 0.4, 0.5, 0.6):
        loaded.variant("text", Adapters(ip_adapter=person(folder), scale=scale))
    loaded.variant("text")
    kept = {id(pipeline.unet) for pipeline in loaded._variants.values()}
    assert len(kept - {id(loaded.network.unet)}) == MAX_OWN_WEIGHTS == 2


# Whole requests. The card is the host here, and what is fetched is written down.


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, every_plan: None) -> list[str]:
    """The classes of the networks that were fetched, in order."""
    names: list[str] = []
    fetch = ComponentOffload._fetch

    def noted(offload: ComponentOffload, module: torch.nn.Module) -> None:
        names.append(type(module).__name__)
        fetch(offload, module)

    monkeypatch.setattr(ComponentOffload, "_fetch", noted)
    return names


@pytest.fixture
def pictures(folder: Path) -> Iterator[ImagePipeline]:
    control = entry("ControlNetModel", folder / "control")
    profile = stable_diffusion_profile(
        folder,
        along=(Capability.CONTROL, control),
        who=(Capability.IDENTITY, person(folder)),
    )
    with drawing(profile) as pictures:
        pictures.model_cache._lowered_plans["base"] = MemoryPlan.MODEL_OFFLOAD
        yield pictures


REQUESTS = [
    DiffusionRequest("a cat", 1, steps=4, guidance=3.0),
    DiffusionRequest("a dog", 2, steps=6, guidance=3.0),
    DiffusionRequest("a house", 3, steps=5, guidance=3.0, control=photo(3)),
    DiffusionRequest("at sea", 4, steps=5, guidance=3.0, person=photo(4)),
]


def test_requests_at_once_draw_what_each_draws_with_all_its_weights_in_place(
    folder: Path, pictures: ImagePipeline, fetched: list[str]
) -> None:
    with ThreadPoolExecutor(len(REQUESTS)) as pool:
        drawn = [arrays[0] for arrays in pool.map(pictures.generate_arrays, REQUESTS)]
    assert set(memory_plans(pictures)) == {"model_offload"}
    with drawing(pictures.profile) as whole:
        whole.model_cache._lowered_plans["base"] = MemoryPlan.QUANTIZED
        for one, request in zip(drawn, REQUESTS, strict=True):
            assert off(one, whole.generate_arrays(request)[0]) < 1e-4
    assert fetched.count("UNet2DConditionModel") == len(REQUESTS), "one at a time, once each"
    assert fetched.count("ControlNetModel") == 1
    assert all(one != other for one, other in pairwise(fetched))


def test_previews_and_pictures_of_one_request_change_no_places(
    pictures: ImagePipeline, fetched: list[str]
) -> None:
    request = DiffusionRequest("a cat", 1, steps=5, guidance=3.0, count=3)
    pictures.generate(request, lambda step: step.preview())
    assert fetched.count("AutoencoderKL") == 1
    # Its encoder may be asked by the last picture when the first one is at its first step.
    assert fetched.count("UNet2DConditionModel") <= request.count


def test_between_requests_nothing_stays_on_the_device(
    pictures: ImagePipeline, fetched: list[str]
) -> None:
    pictures.generate(REQUESTS[0])
    (held,) = pictures.model_cache._entries.values()
    assert fetched
    assert held.model._offload is not None
    assert not held.model._offload._fetched
