"""The catalog holds each model once; a profile takes from it what its capabilities name."""

import pytest

from models.profiles.catalog import catalog
from models.profiles.load import Profile, load_profile, profile_names

MEMORY = {"components": {}, "activations": 0, "activations_sliced": 0}


def profile(models: dict[str, object], model: str) -> Profile:
    return Profile.model_validate(
        {
            "name": "own",
            "title": "A profile of one's own",
            "device": "cuda",
            "models": models,
            "capabilities": {"text_to_image": {"model": model}},
        }
    )


def test_a_model_brings_what_is_loaded_with_it() -> None:
    found = profile({}, "controlnet-canny").models
    assert set(found) == {"controlnet-canny", "stable-diffusion-xl", "sdxl-vae-fp16-fix"}
    assert [part.replaces for part in found["stable-diffusion-xl"].loaded_with] == ["vae"]


def test_what_a_profile_says_of_a_model_is_laid_over_the_catalog() -> None:
    found = profile({"flux.2-klein-4b": {"options": {"quantization": "nf4"}}}, "flux.2-klein-4b")
    model = found.models["flux.2-klein-4b"]
    assert model.options.quantization == "nf4"
    assert model.hub_id == "black-forest-labs/FLUX.2-klein-4B"


def test_a_model_with_a_loader_of_its_own_owes_nothing_to_the_catalog() -> None:
    own = {"path": "here", "licence": "none", "commercial": True, "memory": MEMORY}
    found = profile(
        {"stable-diffusion-xl": {**own, "loader": "StableDiffusionPipeline"}}, "stable-diffusion-xl"
    )
    assert set(found.models) == {"stable-diffusion-xl"}
    assert found.models["stable-diffusion-xl"].hub_id is None
    assert found.models["stable-diffusion-xl"].loaded_with == ()


def test_a_lora_that_is_fused_is_none_to_ask_for() -> None:
    assert load_profile("datacenter").loras("wan2.2-i2v-a14b") == {}
    assert set(load_profile("tiny").loras("atelier-tiny")) == {"noir"}


@pytest.mark.parametrize("key", sorted(catalog()))
def test_every_entry_of_the_catalog_is_a_valid_model(key: str) -> None:
    assert profile({}, key).models[key].name == key


@pytest.mark.parametrize("name", profile_names())
def test_every_download_states_its_size(name: str) -> None:
    for model in load_profile(name).models.values():
        assert model.hub_id is None or model.download_mb, model.name
