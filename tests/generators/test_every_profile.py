"""The models of all six generators load on every GPU profile, with weights that may be sold.

The weights are miniatures of the profile's own classes. The LoRAs that a profile fuses are left out
here: ``tests/pipelines/test_distilled.py`` has them.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.gpu import hub_cache
from models.inference.local import LocalInference
from models.inference.operations import LikenessThreshold, Speak
from models.profiles.load import Capability, Model, Profile, load_profile, profile_names
from models.speech.speech import SpeechRequest
from tests.support.miniatures import films, flows, readers
from tests.support.miniatures.faces import face_profile

OTHERS: dict[str, Callable[[Path], Path]] = {
    "qwen-image-2512": flows.qwen_image,
    "qwen-image-edit-2511": flows.qwen_image_edit,
    "wan2.2-i2v-a14b": films.wan_in_two_stages,
    "qwen3-14b": readers.qwen_writer,
}
# Of profiles with the same weights one stands for all.
STARTED = ("rtx3050", "datacenter")


def uses(name: str) -> frozenset[str]:
    return frozenset(load_profile(name).models)


def test_every_gpu_profile_has_the_weights_of_one_that_is_started() -> None:
    started = {uses(name) for name in STARTED}
    for name in profile_names():
        assert name == "tiny" or uses(name) in started


def with_miniatures(profile: Profile, folder: Path) -> Profile:
    """The profile as its file states it, but for sizes and the place of its weights."""
    faces = {model.loader: model for model in face_profile(folder / "faces").models.values()}

    def small(key: str, model: Model) -> Model:
        if model.is_onnx:
            return faces[model.loader]
        if model.hub_id is None or model.loader == "lora":
            return model
        place = folder / key
        if not place.exists():
            if key in OTHERS:
                OTHERS[key](place)
            else:
                hub_cache.MINIATURES[key](place, model)
        parts = tuple(small(part.name, part) for part in model.loaded_with if part.replaces)
        changed = {"hub_id": None, "revision": None, "path": place, "variant": None}
        return model.model_copy(update={**changed, "dtype": "float32", "loaded_with": parts})

    models = {key: small(key, model) for key, model in profile.models.items()}
    size = {"width": 64, "height": 64, "min_size": 8, "max_size": 64}
    capabilities = {
        capability: use.model_copy(update=size if use.width else {})
        for capability, use in profile.capabilities.items()
    }
    return profile.model_copy(
        update={"device": "cpu", "models": models, "capabilities": capabilities}
    )


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
        return {
            name: with_miniatures(load_profile(name), tmp_path_factory.mktemp(name))
            for name in STARTED
        }


@pytest.mark.parametrize("name", STARTED)
def test_the_models_of_all_generators_load(
    profiles: dict[str, Profile], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    inference = LocalInference(profiles[name])
    inference.warm_up()
    for capability in (Capability.GARMENT, Capability.IDENTITY):
        inference.image_pipeline.warm_up(capability)
    assert inference.run(LikenessThreshold()) > 0
    assert inference.run(Speak(SpeechRequest("Hello."))).words
    assert inference.memory_plans()
    assert inference.loaded_models().capabilities >= {
        Capability.TEXT_TO_IMAGE,
        Capability.GARMENT,
        Capability.IDENTITY,
        Capability.LIKENESS,
        Capability.SPEECH,
    }
    inference.close()
    assert Capability.GARMENT not in inference.loaded_models().capabilities
