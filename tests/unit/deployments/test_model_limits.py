"""What the models of a profile cannot do of a request, as the ingress refuses it."""

from typing import Any

import pytest

from deployments.generators.cloth_swap.spec import SPEC as CLOTH_SWAP
from deployments.generators.common.drawing import drawing_notes
from deployments.generators.image.spec import SPEC as IMAGE
from deployments.generators.influencer.spec import SPEC as INFLUENCER
from deployments.generators.story_video.spec import SPEC as STORY_VIDEO
from models.diffusion.requests import ResolvedParams
from models.profiles.families import Guidance, family_of, unsupported_parameters
from models.profiles.load import Capability, Profile, load_profile

PHOTO = {"url": "https://example.com/photo.jpg"}
PERSON = {"reference_images": [PHOTO], "consent": True}


def refused(spec: Any, given: dict[str, Any], profile: Profile) -> set[str]:
    return set(spec.unsupported(spec.request.model_validate(given), profile))


CASES: list[tuple[Any, dict[str, Any], set[str]]] = [
    (IMAGE, {"prompt": "a cat"}, set()),
    (IMAGE, {"prompt": "a cat", "negative_prompt": "", "guidance": 1.0}, set()),
    (IMAGE, {"prompt": "a cat", "negative_prompt": "a dog", "guidance": 5.0},
     {"negative_prompt", "guidance"}),
    (IMAGE, {"prompt": "a cat", "init_image": PHOTO, "strength": 0.5}, {"strength"}),
    (IMAGE, {"prompt": "a cat", "init_image": PHOTO, "mask": PHOTO, "strength": 0.5}, set()),
    (IMAGE, {"prompt": "a cat", "init_image": PHOTO, "extend": {"left": 8}, "strength": 0.5},
     set()),
    (IMAGE, {"prompt": "a cat", "control": {"image": PHOTO, "kind": "edges"}}, set()),
    (IMAGE, {"prompt": "a cat", "control": {"image": PHOTO, "kind": "pose"}}, {"control.kind"}),
    (CLOTH_SWAP, {"person_image": PHOTO, "garments": [{"image": PHOTO}], "guidance": 3.0},
     {"guidance"}),
    (INFLUENCER, {"person": PERSON, "images": [{"scene": "beach"}], "identity_strength": 0.5},
     {"identity_strength"}),
    (STORY_VIDEO, {"story": "Mira lit the lamp.", "negative_prompt": "rain"}, {"negative_prompt"}),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "given", "fields"), CASES)
def test_fields_that_distilled_editing_weights_cannot_follow_are_named(
    spec: Any, given: dict[str, Any], fields: set[str]
) -> None:
    klein = load_profile("rtx4090")
    assert klein.model(Capability.TEXT_TO_IMAGE).loader == "Flux2KleinPipeline"
    assert refused(spec, given, klein) == fields
    if "control" not in given:
        assert refused(spec, given, load_profile("tiny")) == set()


def test_a_capability_that_the_profile_lacks_is_named_by_its_field() -> None:
    tiny = load_profile("tiny")
    kept = {Capability.TEXT_TO_IMAGE: tiny.capability_config(Capability.TEXT_TO_IMAGE)}
    bare = tiny.model_copy(update={"capabilities": kept})
    for field, more in {
        "control": {"control": {"image": PHOTO}},
        "init_image": {"init_image": PHOTO},
        "mask": {"init_image": PHOTO, "mask": PHOTO},
        "extend": {"init_image": PHOTO, "extend": {"top": 8}},
    }.items():
        assert refused(IMAGE, {"prompt": "a cat", **more}, bare) == {field}


@pytest.mark.parametrize(
    ("kind", "guidance", "negative_prompt", "edits"),
    [
        ("StableDiffusionXLControlNetPipeline", Guidance.CFG, True, False),
        ("FluxInpaintPipeline", Guidance.EMBEDDED, False, False),
        ("FluxKontextPipeline", Guidance.EMBEDDED, False, True),
        ("Flux2KleinInpaintPipeline", Guidance.CFG, False, True),
        ("Flux2KleinKVPipeline", Guidance.NONE, False, True),
        ("QwenImageControlNetPipeline", Guidance.TRUE_CFG, True, False),
        ("QwenImageEditPlusPipeline", Guidance.TRUE_CFG, True, True),
        ("SanaPipeline", Guidance.CFG, True, False),
    ],
)
def test_the_longest_prefix_says_what_a_pipeline_takes(
    kind: str, guidance: Guidance, negative_prompt: bool, edits: bool
) -> None:
    family = family_of(kind)
    assert (family.guidance, family.negative_prompt, family.edits) == (
        guidance,
        negative_prompt,
        edits,
    )


def test_an_adapters_base_says_what_it_takes() -> None:
    profile = load_profile("rtx4090")  # its ControlNet is one of SDXL
    given = ["guidance", "negative_prompt", "scale"]
    assert unsupported_parameters(profile, Capability.CONTROL, given) == {}


def test_a_jobs_notes_say_what_was_ignored_by_the_requests_own_names() -> None:
    used = ResolvedParams("klein", 64, 64, 4, 1.0, "default", {"scale": "it has no strength"})
    notes = drawing_notes(used, scale="identity_strength")
    assert notes["ignored"] == {"identity_strength": "it has no strength"}
    assert "ignored" not in drawing_notes(ResolvedParams("sd", 64, 64, 4, 7.5, "ddim"))
