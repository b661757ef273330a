"""Adapters over shared weights: each request as plainly drawn with its own, the base untouched."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from transformers import CLIPVisionModelWithProjection

from models.diffusion import loaded_pipeline as loaded_module
from models.diffusion.adapters import share_weights_copy
from models.diffusion.loaded_pipeline import Adapters, LoadedPipeline
from models.diffusion.requests import DiffusionRequest, Lora
from models.memory.loader import NO_MEMORY, ModelLoader
from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, Model
from tests.support.drawing import (
    SIZE,
    drawing,
    drawn_together,
    off,
    passes,
    photo,
    plain,
    plainly_drawn,
    right_half,
    stable_diffusion_profile,
)
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry

WITHIN = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion miniature, with two LoRAs of it in ``loras``."""
    folder = miniatures.stable_diffusion(tmp_path_factory.mktemp("sd"))
    for seed, name in enumerate(("ink", "oil")):
        lora(folder, seed, name)
    return folder


def lora(folder: Path, seed: int, name: str) -> None:
    """One of the denoiser and the text encoder, with random numbers in both halves."""
    pipeline = plain(folder)
    torch.manual_seed(seed)
    layers = {}
    for part, targets in (
        (pipeline.unet, ["to_q", "to_k", "to_v"]),
        (pipeline.text_encoder, ["q_proj", "v_proj"]),
    ):
        # Not zeros in one half, as they come: those would change nothing.
        part.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
        layers[type(part).__name__] = get_peft_model_state_dict(part)
    unet, text = layers.values()
    StableDiffusionPipeline.save_lora_weights(
        folder / "loras",
        unet_lora_layers={key: 0.5 * value for key, value in unet.items()},
        text_encoder_lora_layers=text,
        weight_name=f"{name}.safetensors",
    )


def ink(folder: Path, weight: float = 1.0, name: str = "ink") -> Lora:
    return Lora(str(folder / "loras"), f"{name}.safetensors", weight)


def plain_with(folder: Path, *loras: Lora) -> Any:
    pipeline = plain(folder)
    for lora in loras:
        pipeline.load_lora_weights(
            lora.source, weight_name=lora.weight_name, adapter_name=lora.weight_name[:3]
        )
    if loras:
        pipeline.set_adapters([lora.weight_name[:3] for lora in loras], [x.weight for x in loras])
    return pipeline


def test_requests_with_other_loras_do_not_mix(
    folder: Path,
) -> None:
    oil = ink(folder, 0.7, "oil")
    styles: list[tuple[Lora, ...]] = [
        (), (ink(folder, 1.0),), (ink(folder, 0.3),), (ink(folder, 1.0),), (ink(folder, 0.5), oil),
    ]  # fmt: skip
    requests = [
        DiffusionRequest("a cat", n, steps=4, guidance=3.0, loras=loras)
        for n, loras in enumerate(styles)
    ]
    with drawing(stable_diffusion_profile(folder)) as pictures:
        before = pictures.generate_arrays(requests[0])[0]
        with passes(UNet2DConditionModel) as rows:
            got = drawn_together(pictures, requests)
        after = pictures.generate_arrays(requests[0])[0]
    drawn = {}
    for one, request in zip(got, requests, strict=True):
        drawn[request.loras] = one
        expected = plainly_drawn(plain_with(folder, *request.loras), request, **SIZE)
        assert off(one, expected) < WITHIN
    assert off(after, before) < WITHIN, "the base was changed by the adapters"
    base = plain(folder)
    changed = [off(one, plainly_drawn(base, request, **SIZE))
               for one, request in zip(got[1:], requests[1:], strict=True)]  # fmt: skip
    assert min(changed) > 0.01, "the adapters changed nothing"
    assert max(rows) == 4, "the same adapters share batches, and no others do"


def person(folder: Path) -> Model:
    return entry(
        "CLIPVisionModelWithProjection", miniatures.ip_adapter(folder), subfolder="models",
        weight_name="ip-adapter.safetensors",
    )  # fmt: skip


def with_person(pipeline: Any, folder: Path, scale: float | None) -> Any:
    encoder = CLIPVisionModelWithProjection.from_pretrained(folder / "models" / "image_encoder")
    pipeline.register_modules(image_encoder=encoder)
    pipeline.load_ip_adapter(
        str(folder), subfolder="models", weight_name="ip-adapter.safetensors",
        image_encoder_folder=None,
    )  # fmt: skip
    pipeline.set_ip_adapter_scale(scale)
    return pipeline


def test_people_from_pictures_are_drawn_as_plainly_beside_requests_without(
    folder: Path, tmp_path: Path
) -> None:
    profile = stable_diffusion_profile(folder, who=(Capability.IDENTITY, person(tmp_path)))
    requests = [
        DiffusionRequest("at the beach", n, steps=4, guidance=3.0, person=photo(n), scale=scale)
        for n, scale in enumerate([1.0, 1.0, 0.5])
    ]
    requests.append(DiffusionRequest("at the beach", 0, steps=4, guidance=3.0))
    requests.append(
        DiffusionRequest(
            "at the beach", 1, steps=4, guidance=3.0, person=photo(1), scale=1.0,
            loras=(ink(folder),),
        )
    )  # fmt: skip
    with drawing(profile) as pictures, passes(UNet2DConditionModel) as rows:
        got = drawn_together(pictures, requests)
    for one, request in zip(got, requests, strict=True):
        pipeline, more = plain_with(folder, *request.loras), {}
        if request.person is not None:
            with_person(pipeline, tmp_path, request.scale)
            more = {"ip_adapter_image": request.person}
        assert off(one, plainly_drawn(pipeline, request, **SIZE, **more)) < WITHIN
    assert off(got[0], got[3]) > 0.01, "the person changed nothing"
    assert max(rows) == 4, "two people at one scale share batches; their scale or LoRA tells apart"


def test_garments_are_painted_into_masks_as_plainly(folder: Path, tmp_path: Path) -> None:
    profile = stable_diffusion_profile(folder, worn=(Capability.GARMENT, person(tmp_path)))
    requests = [
        DiffusionRequest(
            "a shirt", n, steps=4, guidance=3.0, image=photo(9), mask=right_half(),
            garment=photo(n), strength=1.0, scale=1.0,
        )
        for n in range(3)
    ]  # fmt: skip
    with drawing(profile) as pictures, passes(UNet2DConditionModel) as rows:
        got = drawn_together(pictures, requests)
    pipeline = with_person(plain(folder, "StableDiffusionInpaintPipeline"), tmp_path, 1.0)
    for one, request in zip(got, requests, strict=True):
        expected = plainly_drawn(
            pipeline, request, **SIZE, image=request.image, mask_image=request.mask,
            strength=1.0, ip_adapter_image=request.garment,
        )  # fmt: skip
        assert off(one, expected) < WITHIN
    assert off(got[0], got[1]) > 0.01
    assert max(rows) >= 4


def test_a_view_owns_modules_and_shares_every_tensor(folder: Path) -> None:
    unet = plain(folder).unet
    copy = share_weights_copy(unet)
    modules = list(zip(unet.modules(), copy.modules(), strict=True))
    assert all(one is not other for one, other in modules)
    for one, other in zip(unet.parameters(), copy.parameters(), strict=True):
        assert one is other
    copy.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    assert not any("lora" in name for name, _ in unet.named_parameters())


def test_the_same_adapters_are_made_once_and_the_longest_unused_are_forgotten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_module, "MAX_VARIANTS", 2)
    loaded = LoadedPipeline(entry("StableDiffusionPipeline", folder))
    strong, weak = (Adapters(loras=(ink(folder, weight),)) for weight in (1.0, 0.3))
    first = loaded.variant("text", strong)
    assert loaded.variant("text", strong) is first
    assert loaded.variant("text") is loaded.network
    assert loaded.variant("text", strong) is first
    loaded.variant("text", weak)
    assert loaded.variant("text", strong) is first
    assert loaded.variant("text") is loaded.network
    loaded.variant("text", weak)
    assert loaded.variant("text", strong) is not first


@pytest.mark.parametrize("plan", [MemoryPlan.QUANTIZED, MemoryPlan.GROUP_OFFLOAD])
def test_a_controlnet_is_held_as_the_pipeline_beside_it_is(
    folder: Path, tmp_path: Path, plan: MemoryPlan
) -> None:
    miniatures.controlnet(tmp_path)
    beside = Adapters(control=entry("ControlNetModel", tmp_path))
    held = ModelLoader(
        "sd", NO_MEMORY, partial(LoadedPipeline, entry("StableDiffusionPipeline", folder))
    )
    pipeline = held.load(plan, "cpu").variant("control", beside)
    layers = list(pipeline.controlnet.modules())
    assert any("int8" in type(layer).__name__ for layer in layers)
    offloaded = any(hasattr(layer, "_diffusers_hook") for layer in layers)
    assert offloaded == (plan is MemoryPlan.GROUP_OFFLOAD)
    drawn = pipeline("a house", image=photo(), num_inference_steps=1, **SIZE)
    assert drawn.images[0].size == (SIZE["width"], SIZE["height"])
