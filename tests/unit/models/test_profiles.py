"""Every profile file is checked when it is read; licences before weights are."""

import cv2
import pytest
from pydantic import ValidationError

from models.profiles.load import (
    BUILT_IN_LOADERS,
    LORA,
    Capability,
    CapabilityMissing,
    Model,
    Profile,
    UnknownProfile,
    load_profile,
    profile_names,
)
from models.weights.hub import is_needed_file
from models.weights.licenses import NonCommercialWeights, require_license
from models.weights.load import loader_class

PROFILES = [load_profile(name) for name in profile_names()]
GPU_PROFILES = [profile for profile in PROFILES if profile.device == "cuda"]
MODELS = [
    pytest.param(model, id=f"{profile.name}-{model.name}")
    for profile in PROFILES
    for model in profile.models.values()
]


def test_there_is_a_profile_for_each_class_of_machine() -> None:
    assert {profile.name: profile.vram_gb for profile in PROFILES} == {
        "tiny": 0,
        "rtx3050": 8,
        "rtx3060": 12,
        "rtx4080": 16,
        "rtx4090": 24,
        "l40s": 48,
        "datacenter": 80,
    }


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_file_is_named_like_its_profile(profile: Profile) -> None:
    assert load_profile(profile.name) == profile


@pytest.mark.parametrize("profile", GPU_PROFILES, ids=lambda profile: profile.name)
def test_a_gpu_profile_offers_everything(profile: Profile) -> None:
    assert set(profile.capabilities) == set(Capability)


@pytest.mark.parametrize("model", MODELS)
def test_a_loader_is_a_class_of_the_installed_libraries(model: Model) -> None:
    if model.is_built_in:
        assert model.loader in BUILT_IN_LOADERS
    elif model.loader == LORA:
        assert model.weight_name is not None and model.weight_name.endswith(".safetensors")
    elif model.is_onnx:
        assert hasattr(getattr(cv2, model.loader), "create")
    else:
        assert hasattr(loader_class(model.loader), "from_pretrained")


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_safetensors_of_one_precision(model: Model) -> None:
    """Where a variant is loaded, the file patterns name that variant."""
    assert not any(
        is_needed_file(model, f"x/weights{end}") for end in (".bin", ".ckpt", ".pt", ".py")
    )
    if model.variant and model.files:
        weights = [pattern for pattern in model.files if pattern.endswith(".safetensors")]
        unnamed = [pattern for pattern in weights if f".{model.variant}." not in pattern]
        assert not unnamed


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_an_adapter_goes_into_a_pipeline_of_its_own_precision(profile: Profile) -> None:
    for model in profile.models.values():
        if model.adapter_of is not None and model.replaces is None:
            base = profile.models[model.adapter_of]
            assert base.adapter_of is None
            assert base.loader.endswith("Pipeline")
            assert base.dtype == model.dtype


@pytest.mark.parametrize("model", MODELS)
def test_weights_that_may_not_be_sold_are_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    if model.commercial:
        require_license(model)
        return
    with pytest.raises(NonCommercialWeights, match="ALLOW_NONCOMMERCIAL_WEIGHTS"):
        require_license(model)
    monkeypatch.setenv("ALLOW_NONCOMMERCIAL_WEIGHTS", "1")
    require_license(model)


def test_licences_that_forbid_sale_are_not_marked_as_allowing_it() -> None:
    """The licences of weights people often take for free ones."""
    for profile in PROFILES:
        for model in profile.models.values():
            text = f"{model.hub_id} {model.licence}".lower()
            forbidden = ("cc-by-nc", "segformer", "klein-9b", "flux.2-dev", "flux.1-dev", "catvton")
            forbidden += ("v2-base", "v2-large", "2.5-3b", "mms-tts", "insightface", "instantid")
            assert not (model.commercial and any(word in text for word in forbidden)), text


def test_the_refusal_names_the_model_and_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    data = load_profile("tiny").model_dump()
    data["models"]["atelier-tiny"] |= {"commercial": False, "licence": "CC-BY-NC-4.0"}
    model = Profile.model_validate(data).models["atelier-tiny"]
    with pytest.raises(NonCommercialWeights, match=r"atelier-tiny \(CC-BY-NC-4\.0\)"):
        require_license(model)


def test_an_unknown_profile_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProfile, match="tiny"):
        load_profile("../tiny")


def test_a_capability_a_profile_lacks_is_named() -> None:
    profile = load_profile("rtx3050").model_copy(update={"capabilities": {}})
    with pytest.raises(CapabilityMissing, match="depth"):
        profile.capability_config(Capability.DEPTH)


BUILT_IN = {
    "licence": "none", "commercial": True, "loader": "lanczos",
    "memory": {"components": {}, "activations": 0, "activations_sliced": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"devise": "cpu"},
        {"capabilities": {"text_to_image": {"model": "of-no-name"}}},
        {"models": {"of-no-use": BUILT_IN}},
    ],
    ids=["misspelt field", "unknown model", "unused model"],
)
def test_a_profile_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    good = load_profile("rtx3050").model_dump()
    with pytest.raises(ValidationError):
        Profile.model_validate(good | wrong)


@pytest.mark.parametrize("revision", [None, "main", "451f4fe"])
def test_hub_weights_need_a_whole_commit(revision: str | None) -> None:
    good = load_profile("rtx3050").models["controlnet-canny"].model_dump()
    Model.model_validate(good)
    with pytest.raises(ValidationError):
        Model.model_validate(good | {"revision": revision})
