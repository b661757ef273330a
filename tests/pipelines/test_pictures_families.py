"""What each family's pipeline is called with, and what its latents are decoded to.

Random-weight miniatures: they show that an argument has its effect, not that a picture is good.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import QwenImageTransformer2DModel
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.inpainting import Margins, inpaint_region, outpaint_steps
from models.diffusion.requests import DenoisingStep, DiffusionRequest, PicturesBlocked
from models.profiles.load import Capability, Profile
from tests.support.drawing import (
    Array,
    drawing,
    off,
    passes,
    photo,
    plain,
    profile_of,
    right_half,
)
from tests.support.miniatures import flows
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry

SIDE = 64
WITHIN = 1e-4  # of 0..1: batches add in another order
NOTICED = 1e-5  # of 0..1: what a random network makes of another input; the same gives 0
CAT = DiffusionRequest("a cat", 1, steps=3)
BUILD: dict[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": miniatures.stable_diffusion,
    "StableDiffusionXLPipeline": miniatures.stable_diffusion_xl,
    "FluxPipeline": flows.flux,
    "Flux2KleinPipeline": flows.flux2_klein,
    "QwenImagePipeline": flows.qwen_image,
    "QwenImageEditPlusPipeline": flows.qwen_image_edit,
    "StableDiffusion3Pipeline": flows.stable_diffusion_3,
    "ZImagePipeline": flows.z_image,
}
diffusers_logging.disable_progress_bar()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = BUILD[kind](tmp_path_factory.mktemp(kind))
        return folders[kind]

    return folder_of


@pytest.fixture(autouse=True)
def small_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit brings every picture to a megapixel: minutes on a CPU."""
    qwen = diffusers.pipelines.qwenimage
    plus, inpaint = qwen.pipeline_qwenimage_edit_plus, qwen.pipeline_qwenimage_edit_inpaint
    monkeypatch.setattr(plus, "VAE_IMAGE_SIZE", SIDE * SIDE)
    monkeypatch.setattr(plus, "CONDITION_IMAGE_SIZE", SIDE * SIDE)
    of_area = inpaint.calculate_dimensions
    monkeypatch.setattr(
        inpaint, "calculate_dimensions", lambda area, ratio: of_area(SIDE * SIDE, ratio)
    )


@contextmanager
def drawing_with(
    folder: Path, kind: str, *capabilities: Capability, guidance: float = 3.0
) -> Iterator[ImagePipeline]:
    uses = dict.fromkeys((Capability.TEXT_TO_IMAGE, *capabilities), "base")
    with drawing(profile_of({"base": entry(kind, folder)}, uses, guidance=guidance,
                            width=SIDE, height=SIDE, max_size=2 * SIDE)) as pictures:  # fmt: skip
        yield pictures


def drawn(pictures: ImagePipeline, request: DiffusionRequest, **changed: Any) -> Array:
    return pictures.generate_arrays(replace(request, **changed))[0]


# Decoding.


@pytest.mark.parametrize("kind", [kind for kind in BUILD if "Edit" not in kind])
def test_the_preview_of_the_last_step_is_the_picture(
    saved: Callable[[str], Path], kind: str
) -> None:
    previews: list[Any] = []
    with drawing_with(saved(kind), kind) as pictures:
        (picture,) = pictures.generate(
            replace(CAT, steps=2, width=80, height=48),
            lambda step: previews.append(step.preview()),
        )
    assert [preview.size for preview in previews] == [(80, 48)] * 2
    assert np.abs(np.asarray(previews[-1], int) - np.asarray(picture, int)).max() <= 1
    assert np.asarray(picture).std() > 1


@pytest.mark.parametrize("kind", ["Flux2KleinPipeline", "QwenImageEditPlusPipeline"])
def test_an_edit_is_previewed_at_the_size_the_pipeline_chose(
    saved: Callable[[str], Path], kind: str
) -> None:
    previews: list[Any] = []
    request = replace(
        CAT, image=photo(0, SIDE), mask=right_half(SIDE), strength=1.0, width=96, height=48
    )
    with drawing_with(saved(kind), kind, Capability.INPAINT) as pictures:
        (picture,) = pictures.generate(request, lambda step: previews.append(step.preview()))
    assert picture.size == (96, 48)
    preview = previews[-1].resize(picture.size, Image.Resampling.LANCZOS)
    inside = (np.asarray(image, int)[:, 49:] for image in (preview, picture))
    assert np.abs(np.subtract(*inside)).max() <= 1


@pytest.mark.parametrize("kind", ["FluxPipeline", "Flux2KleinPipeline"])
def test_a_picture_has_the_size_that_was_asked_for(saved: Callable[[str], Path], kind: str) -> None:
    with drawing_with(saved(kind), kind, guidance=1.0) as pictures:
        (picture,) = pictures.generate(replace(CAT, width=72, height=56))
    assert picture.size == (72, 56)


# Guidance.


def test_qwen_is_guided_by_what_was_asked_for_without_a_negative_prompt(
    saved: Callable[[str], Path],
) -> None:
    kind = "QwenImagePipeline"
    pipeline = plain(saved(kind), kind)

    def alone(**how: Any) -> Array:
        picture: Array = pipeline(
            prompt="a cat", num_inference_steps=3, width=SIDE, height=SIDE, output_type="np",
            generator=torch.Generator().manual_seed(1), **how,
        ).images[0]  # fmt: skip
        return picture

    with (
        drawing_with(saved(kind), kind) as pictures,
        passes(QwenImageTransformer2DModel) as rows,
    ):
        unguided = drawn(pictures, CAT, guidance=1.0)
        assert sum(rows) == 3, "guidance that is off costs nothing"
        weak, strong = (drawn(pictures, CAT, guidance=scale) for scale in (2.0, 9.0))
        against = drawn(pictures, CAT, guidance=2.0, negative_prompt="ugly")
    assert sum(rows) == 3 + 3 * 6
    assert off(unguided, alone(true_cfg_scale=1.0)) < WITHIN
    assert off(weak, alone(true_cfg_scale=2.0, negative_prompt=" ")) < WITHIN
    assert off(strong, alone(true_cfg_scale=9.0, negative_prompt=" ")) < WITHIN
    assert off(against, alone(true_cfg_scale=2.0, negative_prompt="ugly")) < WITHIN
    assert off(weak, strong) > 10 * NOTICED < off(weak, against)


def test_guidance_that_is_off_costs_z_image_nothing(saved: Callable[[str], Path]) -> None:
    kind = "ZImagePipeline"
    with (
        drawing_with(saved(kind), kind) as pictures,
        passes(diffusers.ZImageTransformer2DModel) as rows,
    ):
        drawn(pictures, CAT, guidance=1.0)
        assert len(rows) == 3


def test_what_distilled_weights_cannot_do_is_said_and_not_done(
    saved: Callable[[str], Path],
) -> None:
    kind = "Flux2KleinPipeline"
    asked = replace(CAT, image=photo(0, SIDE), strength=0.3, guidance=5.0, negative_prompt="a dog")
    with drawing_with(saved(kind), kind, Capability.IMAGE_TO_IMAGE, guidance=1.0) as pictures:
        used = pictures.resolve(asked)
        assert used.ignored.keys() == {"guidance", "negative_prompt", "strength"}
        assert used.guidance == 1.0
        bare = replace(asked, strength=None, guidance=None, negative_prompt="")
        assert not pictures.resolve(bare).ignored
        assert off(drawn(pictures, asked), drawn(pictures, bare)) == 0


def test_a_negative_prompt_without_guidance_is_said_to_have_no_effect(
    saved: Callable[[str], Path],
) -> None:
    kind = "StableDiffusionPipeline"
    asked = replace(CAT, negative_prompt="a dog")
    with drawing_with(saved(kind), kind) as pictures:
        assert not pictures.resolve(asked).ignored
        assert pictures.resolve(replace(asked, guidance=1.0)).ignored.keys() == {"negative_prompt"}


# Control.


def controlled(base: str, net: str, folders: tuple[Path, Path]) -> Profile:
    models = {
        "base": entry(base, folders[0]),
        "net": entry(net, folders[1], adapter_of="base"),
    }
    uses = {Capability.TEXT_TO_IMAGE: "base", Capability.CONTROL: "net"}
    return profile_of(models, uses, width=SIDE, height=SIDE, max_size=2 * SIDE)


@pytest.mark.parametrize(
    ("base", "net", "build"),
    [
        ("StableDiffusionPipeline", "ControlNetModel", miniatures.controlnet),
        ("QwenImagePipeline", "QwenImageControlNetModel", flows.qwen_image_controlnet),
    ],
)
def test_pictures_are_drawn_along_a_control_map(
    saved: Callable[[str], Path],
    tmp_path: Path,
    base: str,
    net: str,
    build: Callable[[Path], Path],
) -> None:
    with drawing(controlled(base, net, (saved(base), build(tmp_path)))) as pictures:
        one = drawn(pictures, CAT, control=photo(0, SIDE))
        other = drawn(pictures, CAT, control=photo(1, SIDE))
        loose = drawn(pictures, CAT, control=photo(1, SIDE), scale=0.0)
    assert off(one, other) > NOTICED < off(other, loose)


# Inpainting with editing models.

EDITING = ("Flux2KleinPipeline", "QwenImageEditPlusPipeline")
MASKED = replace(CAT, image=photo(0, SIDE), mask=right_half(SIDE), strength=1.0)


@pytest.mark.parametrize("kind", EDITING)
def test_mask_and_strength_reach_an_editing_model(saved: Callable[[str], Path], kind: str) -> None:
    with drawing_with(saved(kind), kind, Capability.INPAINT) as pictures:
        right = drawn(pictures, MASKED)
        left = drawn(pictures, MASKED, mask=right_half(SIDE).transpose(Image.Transpose.ROTATE_180))
        weak = drawn(pictures, MASKED, strength=0.4)
    assert off(right, left) > 0.01 < off(right, weak)
    # Without pasting: the pixels away from the mask are the autoencoder's view of the picture.
    assert off(right[:, : SIDE // 4], weak[:, : SIDE // 4]) < 0.05
    assert off(right[:, 3 * SIDE // 4 :], left[:, 3 * SIDE // 4 :]) > 0.05


@pytest.mark.parametrize("kind", EDITING)
def test_a_picture_is_continued_by_an_editing_model(
    saved: Callable[[str], Path], kind: str
) -> None:
    growing = outpaint_steps(photo(0, SIDE), Margins(right=SIDE // 2))
    canvas, new = next(growing)
    with drawing_with(saved(kind), kind, Capability.INPAINT) as pictures:
        (made,) = inpaint_region(
            pictures.profile, pictures.generate, replace(CAT, image=canvas, mask=new)
        )
    assert made.size == (SIDE + SIDE // 2, SIDE)
    kept, drawn_new = np.asarray(made)[:, : SIDE - 1], np.asarray(made)[:, SIDE + 2 :]
    assert np.array_equal(kept, np.asarray(photo(0, SIDE))[:, : SIDE - 1])
    assert drawn_new.std() > 1


def test_outside_the_mask_of_a_garment_an_editing_model_keeps_the_picture(
    saved: Callable[[str], Path],
) -> None:
    kind = "QwenImageEditPlusPipeline"  # its inpainting class takes no reference
    dressed = replace(MASKED, garment=photo(1, SIDE))
    previews: list[Image.Image | None] = []
    with drawing_with(saved(kind), kind, Capability.GARMENT) as pictures:
        one, other = (drawn(pictures, dressed, seed=seed) for seed in (1, 2))
        whole = drawn(pictures, dressed, mask=Image.new("L", (SIDE, SIDE), 255))
        (pasted,) = pictures.generate(dressed, lambda step: previews.append(step.preview()))
    quarter = SIDE // 4
    assert off(one[:, :quarter], other[:, :quarter]) < 0.05
    assert off(one[:, -quarter:], other[:, -quarter:]) > 0.05
    assert off(one[:, :quarter], whole[:, :quarter]) > 0.05
    inside = (np.asarray(picture, int)[:, -quarter:] for picture in (previews[-1], pasted))
    assert np.abs(np.subtract(*inside)).max() <= 1, "the last preview is the result"


@pytest.mark.parametrize("kind", ["StableDiffusionPipeline", "Flux2KleinPipeline"])
def test_the_weakest_strength_of_few_steps_is_one_step(
    saved: Callable[[str], Path], kind: str
) -> None:
    with drawing_with(saved(kind), kind, Capability.INPAINT) as pictures:
        one, other = (drawn(pictures, MASKED, strength=strength) for strength in (0.01, 0.3))
    assert off(one, other) < WITHIN


# References and instructions.


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the text encoders of editing models are asked to read."""
    read: list[str] = []
    for kind in (diffusers.Flux2KleinPipeline, diffusers.Flux2KleinInpaintPipeline,
                 diffusers.QwenImageEditPlusPipeline):  # fmt: skip
        own = kind.encode_prompt

        def noted(self: Any, *arguments: Any, own: Any = own, **options: Any) -> Any:
            read.append(options.get("prompt") or arguments[0])
            return own(self, *arguments, **options)

        monkeypatch.setattr(kind, "encode_prompt", noted)
    return read


@pytest.mark.parametrize("kind", EDITING)
def test_an_editing_model_is_told_which_picture_is_the_garment(
    saved: Callable[[str], Path], kind: str, prompts: list[str]
) -> None:
    dressed = replace(MASKED, prompt="", garment=photo(1, SIDE), steps=2)
    with drawing_with(saved(kind), kind, Capability.GARMENT) as pictures:
        one = drawn(pictures, dressed)
        other = drawn(pictures, dressed, garment=photo(2, SIDE))
        drawn(pictures, dressed, prompt="a wool shirt")
    assert "person of image 1" in prompts[0]
    assert "garment of image 2" in prompts[0]
    assert "face" in prompts[0] and "background" in prompts[0]
    assert any("a wool shirt" in prompt for prompt in prompts)
    assert off(one, other) > NOTICED, "another garment, another picture"


@pytest.mark.parametrize("kind", EDITING)
def test_an_editing_model_is_told_whom_its_reference_shows(
    saved: Callable[[str], Path], kind: str, prompts: list[str]
) -> None:
    shown = replace(CAT, prompt="a woman at the beach", person=photo(1, SIDE), steps=2)
    with drawing_with(saved(kind), kind, Capability.IDENTITY) as pictures:
        one, other = (drawn(pictures, shown, person=photo(n, SIDE)) for n in (1, 2))
        assert pictures.resolve(replace(shown, scale=0.5)).ignored.keys() == {"scale"}
    assert "a woman at the beach" in prompts[0]
    assert "person of image 1" in prompts[0]
    assert off(one, other) > NOTICED, "another person, another picture"


def test_a_step_says_what_the_picture_looks_like_so_far(saved: Callable[[str], Path]) -> None:
    kind = "Flux2KleinPipeline"
    seen: list[tuple[int, Any]] = []

    def note(step: DenoisingStep) -> None:
        seen.append((step.number, step.preview()))

    with drawing_with(saved(kind), kind) as pictures:
        pictures.generate(CAT, note)
    assert [number for number, _ in seen] == [1, 2, 3]
    assert off(*(np.asarray(image, np.float32) / 255 for _, image in seen[::2])) > 0.01


# What a safety checker blanks.


def test_a_picture_that_the_safety_checker_blanked_is_not_given(tmp_path: Path) -> None:
    folder = miniatures.stable_diffusion(tmp_path, checked=True)
    with drawing_with(folder, "StableDiffusionPipeline", Capability.INPAINT) as pictures:
        pictures.warm_up()
        for request in (CAT, replace(CAT, count=2)):
            with pytest.raises(PicturesBlocked) as blocked:
                pictures.generate(request)
            assert blocked.value.pictures == {}
        with pytest.raises(PicturesBlocked):
            inpaint_region(pictures.profile, pictures.generate, MASKED)


def test_the_other_pictures_of_a_request_are_kept_when_one_is_blanked(
    saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, left = "StableDiffusionPipeline", iter([True])

    def flag_one(self: Any, images: Any, *_: Any) -> Any:
        flagged = next(left, False)
        return (torch.zeros_like(images) if flagged else images), [flagged]

    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "run_safety_checker", flag_one)
    with drawing_with(saved(kind), kind) as pictures:
        with pytest.raises(PicturesBlocked) as blocked:
            pictures.generate(replace(CAT, count=3))
        all_three = pictures.generate(replace(CAT, count=3))
    others = blocked.value.pictures
    assert len(others) == 2
    for index, picture in others.items():
        assert np.abs(np.asarray(picture, int) - np.asarray(all_three[index], int)).max() <= 1
