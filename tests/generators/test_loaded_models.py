"""Which models are in memory is told by the capabilities that operations ask for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from models.diffusion.requests import DiffusionRequest
from models.inference.inference import Operation
from models.inference.local import LocalInference
from models.inference.operations import Draw, EstimateDepth, LikenessThreshold, Speak, Upscale
from models.profiles.load import Capability, load_profile
from models.speech.speech import SpeechRequest
from models.vision.depth import DepthEstimator

PHOTO = Image.new("RGB", (64, 64), "red")


@pytest.fixture
def inference() -> Iterator[LocalInference]:
    inference = LocalInference(load_profile("tiny"))
    yield inference
    inference.close()


@pytest.mark.parametrize(
    ("operation", "capability"),
    [
        (EstimateDepth(PHOTO), Capability.DEPTH),
        (Upscale(PHOTO, 2), Capability.UPSCALE),
        (LikenessThreshold(), Capability.LIKENESS),
        (Speak(SpeechRequest("Hello.")), Capability.SPEECH),
        (Draw(DiffusionRequest("a red circle", 1, steps=1)), Capability.TEXT_TO_IMAGE),
        (Draw(DiffusionRequest("a", 1, image=PHOTO, steps=2)), Capability.IMAGE_TO_IMAGE),
    ],
)
def test_an_operation_loads_the_model_of_its_capability(
    inference: LocalInference, operation: Operation[Any], capability: Capability
) -> None:
    assert operation.capability is capability
    assert capability not in inference.loaded_models().capabilities
    inference.run(operation)
    told = inference.loaded_models()
    assert capability in told.capabilities
    assert told.load_seconds[capability] > 0
    inference.model_cache.evict_idle()
    told = inference.loaded_models()
    assert capability not in told.capabilities
    assert capability in told.load_seconds, "it says how long loading it takes"


def test_a_model_fits_while_there_is_room_for_it(inference: LocalInference) -> None:
    fits = inference.loaded_models().fitting
    assert {Capability.DEPTH, Capability.TEXT_TO_IMAGE} <= fits
    need = load_profile("tiny").model(Capability.DEPTH).memory
    at_most_mb = need.weights_mb + need.activations
    inference.model_cache.budget = replace(inference.model_cache.budget, limit_mb=at_most_mb - 1)
    assert Capability.DEPTH not in inference.loaded_models().fitting


def test_a_model_that_is_on_its_way_counts(
    inference: LocalInference, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def note(self: DepthEstimator, *args: object, **kwargs: object) -> None:
        told.append(inference.loaded_models().capabilities)

    monkeypatch.setattr(DepthEstimator, "place", note)
    inference.run(EstimateDepth(PHOTO))
    assert [Capability.DEPTH in capabilities for capabilities in told] == [True]


def test_every_operation_names_its_capability() -> None:
    unnamed = {kind for kind in Operation.__subclasses__() if kind._capability is None}
    assert {kind for kind in unnamed if kind.__module__.startswith("models.")} == {Draw}


def test_pictures_that_contradict_each_other_are_of_no_capability() -> None:
    assert Draw(DiffusionRequest("a", 1, mask=PHOTO)).capability is None
