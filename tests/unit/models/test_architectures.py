"""The architectures written down for the GPU benchmarks weigh what the profiles say."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.gpu import architectures
from models.memory.peaks import MB
from models.profiles.load import load_profile
from tests.support.component_sizes import measure_components


@pytest.mark.parametrize(
    ("profile", "key", "make"),
    [
        ("rtx3050", "stable-diffusion-xl", architectures.stable_diffusion_xl),
        ("rtx4090", "flux.2-klein-4b", architectures.flux2_klein),
        ("rtx3050", "controlnet-canny", architectures.controlnet_xl),
        ("rtx4090", "fastwan2.2-ti2v-5b", architectures.wan_5b),
        ("rtx3050", "grounding-dino-tiny", architectures.grounding_dino),
        ("rtx3050", "sam2.1-hiera-small", architectures.sam2),
        ("rtx3050", "swin2sr-realworld-x4", architectures.swin2sr),
        ("rtx3050", "depth-anything-v2-small", architectures.depth_anything),
        ("rtx3050", "shap-e", architectures.shap_e),
        ("rtx3050", "qwen3-4b-instruct-2507", architectures.qwen3_4b),
        ("datacenter", "qwen3-14b", architectures.qwen3_14b),
    ],
)
def test_it_weighs_what_its_profile_says(profile: str, key: str, make: Callable[[], Any]) -> None:
    model = load_profile(profile).models[key]
    with architectures.made_on("meta", model.dtype):  # nothing is allocated
        network = make()
        made = {name: size / MB for name, size in measure_components(network).items()}
    said = dict(model.memory.components)
    if "embed_tokens" in said:  # of a language model, whose embedding is never quantized
        made["embed_tokens"] = network.get_input_embeddings().weight.nbytes / MB
        made["model"] -= made["embed_tokens"]
    if "lm_head" in said:
        made["lm_head"] = network.get_output_embeddings().weight.nbytes / MB
        made["model"] -= made["lm_head"]
    if len(said) == 1:
        made = {next(iter(said)): sum(made.values())}
    assert made == pytest.approx(said, abs=3)


@pytest.mark.parametrize(
    ("profile", "key", "make"),
    [
        ("rtx3050", "stable-diffusion-xl", architectures.stable_diffusion_xl),
        ("rtx4090", "flux.2-klein-4b", architectures.flux2_klein),
        ("rtx4090", "fastwan2.2-ti2v-5b", architectures.wan_5b),
    ],
)
def test_its_word_embeddings_weigh_what_its_profile_says(
    profile: str, key: str, make: Callable[[], Any]
) -> None:
    model = load_profile(profile).models[key]
    with architectures.made_on("meta", model.dtype):
        network = make()
    for part, said in model.memory.embeddings.items():
        weight = getattr(network, part).get_input_embeddings().weight
        assert weight.nbytes / MB == pytest.approx(said, abs=1)
