"""The same model error ends a job with the same failure, whichever generator it met."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from deployments.contract import BadInput, GeneratorSpec, JobFailure, Stopped, Unavailable
from deployments.generators.cloth_swap.spec import SPEC as CLOTH_SWAP
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.image.spec import SPEC as IMAGE
from deployments.generators.influencer.spec import SPEC as INFLUENCER
from deployments.generators.story_video.spec import SPEC as STORY_VIDEO
from deployments.generators.study_animation.spec import SPEC as STUDY_ANIMATION
from deployments.generators.video3d.spec import SPEC as VIDEO3D
from models.diffusion.requests import SizeNotSupported
from models.memory.errors import AllModelsInUse, ModelDoesNotFit, OutOfMemory
from models.profiles.load import CapabilityMissing
from models.speech.errors import UnknownVoice
from models.weights.licenses import NonCommercialWeights

PHOTO = {"url": "https://example.com/photo.jpg"}
INPUTS: dict[str, tuple[GeneratorSpec[Any], dict[str, Any]]] = {
    "image": (IMAGE, {"prompt": "a red circle"}),
    "cloth_swap": (CLOTH_SWAP, {"person_image": PHOTO, "garments": [{"image": PHOTO}]}),
    "influencer": (
        INFLUENCER,
        {
            "person": {"reference_images": [PHOTO], "consent": True},
            "images": [{"scene": "beach"}],
        },
    ),
    "study_animation": (STUDY_ANIMATION, {"markdown": "# Squares\n\nA square has four sides."}),
    "story_video": (STORY_VIDEO, {"story": "Mira lit the lamp."}),
    "video3d": (VIDEO3D, {"mode": "turntable", "prompt": "a red circle"}),
}
CASES: list[tuple[Exception, type[JobFailure], str, bool]] = [
    (NonCommercialWeights("not to be sold"), BadInput, "capability_missing", False),
    (CapabilityMissing("no such model"), BadInput, "capability_missing", False),
    (OutOfMemory("too large"), BadInput, "out_of_memory", False),
    (ModelDoesNotFit("too large"), BadInput, "out_of_memory", False),
    (SizeNotSupported("17 pixels"), BadInput, "size_not_supported", False),
    (UnknownVoice("nobody"), BadInput, "unknown_voice", False),
    (AllModelsInUse("wait"), Unavailable, "models_busy", True),
]


class FailingContext:
    """A job whose every call raises ``error``, as if a model had done so at that moment."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "failure", "code", "retryable"), CASES, ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("name", INPUTS)
def test_the_same_model_error_is_the_same_failure_everywhere(
    name: str, error: Exception, failure: type[JobFailure], code: str, retryable: bool
) -> None:
    spec, fields = INPUTS[name]
    module, _, kind = spec.entry.partition(":")
    generator = getattr(import_module(module), kind)()
    with pytest.raises(failure) as told:
        generator.generate(spec.request.model_validate(fields), FailingContext(error))
    assert (told.value.code, told.value.retryable) == (code, retryable)
    assert told.value.detail.endswith(".")
    assert told.value.__cause__ is error


@pytest.mark.parametrize("name", INPUTS)
def test_an_error_that_is_no_model_refusal_passes(name: str) -> None:
    spec, fields = INPUTS[name]
    module, _, kind = spec.entry.partition(":")
    generator = getattr(import_module(module), kind)()
    request = spec.request.model_validate(fields)
    for error in (Stopped(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            generator.generate(request, FailingContext(error))


def test_the_place_of_the_input_begins_the_sentence() -> None:
    words = r"^clip\.narration: no voice speaks it\.$"
    with pytest.raises(BadInput, match=words), translate_model_errors("clip.narration"):
        raise UnknownVoice("no voice speaks it")
