"""The drawing door with miniatures of production classes: each request as its plain pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import (
    ControlNetModel,
    FluxTransformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from diffusers.utils import logging as diffusers_logging

from models.diffusion.requests import DiffusionRequest
from models.profiles.load import Capability, Profile
from tests.support.drawing import (
    SIDE,
    SIZE,
    Array,
    drawing,
    drawn_together,
    off,
    passes,
    photo,
    plain,
    plainly_drawn,
    profile_of,
    right_half,
    stable_diffusion_profile,
)
from tests.support.miniatures import flows
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry

WITHIN = 1e-4  # of 0..1: batches add in another order
PROMPT = "a big yellow circle on a blue background"
diffusers_logging.disable_progress_bar()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion miniature."""
    return miniatures.stable_diffusion(tmp_path_factory.mktemp("sd"))


def miniature(
    kind: str, build: Callable[[Path], Path], guidance: float, **sizes: int
) -> dict[str, Any]:
    """Text to image: five of one size, in steps of their own, and two of the other orientation."""
    requests = [
        DiffusionRequest(f"number {n}", n, steps=4 + n % 3, guidance=guidance, **sizes)
        for n in range(5)
    ]
    if sizes:
        turned = {"width": sizes["height"], "height": sizes["width"]}
        requests += [
            DiffusionRequest("turned", n, steps=5, guidance=guidance, **turned) for n in (5, 6)
        ]
    return {"kind": kind, "build": build, "requests": requests}


@pytest.mark.parametrize(
    ("made", "network", "least"),
    [
        pytest.param(
            miniature("StableDiffusionXLPipeline", miniatures.stable_diffusion_xl, 3.0),
            UNet2DConditionModel, 4, id="sdxl",
        ),
        pytest.param(
            miniature("FluxPipeline", flows.flux, 0.0, width=48, height=64),
            FluxTransformer2DModel, 2, id="flux",
        ),
        pytest.param(
            miniature("ZImagePipeline", flows.z_image, 0.0), ZImageTransformer2DModel, 1,
            id="z-image-alone",
        ),
    ],
)  # fmt: skip
def test_production_classes_give_what_their_plain_pipelines_give(
    made: dict[str, Any], network: Any, least: float, tmp_path: Path
) -> None:
    made["build"](tmp_path)
    base = entry(made["kind"], tmp_path)
    profile = profile_of({"base": base}, {Capability.TEXT_TO_IMAGE: "base"})
    with drawing(profile) as pictures, passes(network) as rows:
        got = drawn_together(pictures, made["requests"])
    pipeline = plain(tmp_path, made["kind"])
    for one, request in zip(got, made["requests"], strict=True):
        size = {"width": request.width or SIDE, "height": request.height or SIDE}
        assert off(one, plainly_drawn(pipeline, request, **size)) < WITHIN
    assert max(rows) >= least


def compared(
    profile: Profile,
    requests: list[DiffusionRequest],
    alone: Callable[[DiffusionRequest], Array],
) -> list[int]:
    """All requests together against each alone; the rows of the passes of the UNet."""
    with drawing(profile) as pictures, passes(UNet2DConditionModel) as rows:
        got = drawn_together(pictures, requests)
    for one, request in zip(got, requests, strict=True):
        assert off(one, alone(request)) < WITHIN
    return rows


def test_pictures_are_repainted_as_plainly(folder: Path) -> None:
    requests = [
        DiffusionRequest("a cat", n, steps=5, guidance=g, image=photo(n), strength=strength)
        for n, (g, strength) in enumerate([(3.0, 0.5), (1.0, 0.9), (5.0, 0.7), (3.0, 1.0)])
    ]
    pipeline = plain(folder, "StableDiffusionImg2ImgPipeline")
    rows = compared(
        stable_diffusion_profile(folder),
        requests,
        lambda request: plainly_drawn(
            pipeline, request, image=request.image, strength=request.strength
        ),
    )
    assert max(rows) >= 4


def painted_plainly(pipeline: Any) -> Callable[[DiffusionRequest], Array]:
    return lambda request: plainly_drawn(
        pipeline, request, image=request.image, mask_image=request.mask,
        strength=request.strength, **SIZE,
    )  # fmt: skip


MASKED = [
    DiffusionRequest(
        "a hat", n, steps=5, guidance=g, image=photo(n), mask=right_half(), strength=strength
    )
    for n, (g, strength) in enumerate([(3.0, 1.0), (1.0, 0.8), (4.0, 0.6)])
]


def test_masks_are_painted_as_plainly_by_weights_without_channels_for_them(folder: Path) -> None:
    pipeline = plain(folder, "StableDiffusionInpaintPipeline")
    assert pipeline.unet.config.in_channels == 4
    assert max(compared(stable_diffusion_profile(folder), MASKED, painted_plainly(pipeline))) >= 4


def test_masks_are_painted_as_plainly_by_weights_that_see_them(
    folder: Path, tmp_path: Path
) -> None:
    miniatures.stable_diffusion_xl_inpaint(tmp_path)
    kind = "StableDiffusionXLInpaintPipeline"
    profile = profile_of(
        {"base": entry("StableDiffusionPipeline", folder), "inpaint": entry(kind, tmp_path)},
        {Capability.TEXT_TO_IMAGE: "base", Capability.INPAINT: "inpaint"},
    )
    pipeline = plain(tmp_path, kind)
    assert pipeline.unet.config.in_channels == 9
    assert max(compared(profile, MASKED, painted_plainly(pipeline))) >= 4


def test_control_pictures_are_batched_and_followed(folder: Path, tmp_path: Path) -> None:
    miniatures.controlnet(tmp_path)
    control = (Capability.CONTROL, entry("ControlNetModel", tmp_path))
    requests = [
        DiffusionRequest("a house", n, steps=5, guidance=3.0, control=photo(n), scale=scale)
        for n, scale in enumerate([1.0, 1.0, 0.4, 1.0])
    ]
    requests.append(DiffusionRequest("a house", 3, steps=5, guidance=3.0))
    pipeline = plain(folder)
    controlled = plain(
        folder, "StableDiffusionControlNetPipeline",
        controlnet=ControlNetModel.from_pretrained(tmp_path),
    )  # fmt: skip

    def alone(request: DiffusionRequest) -> Array:
        if request.control is None:
            return plainly_drawn(pipeline, request, **SIZE)
        return plainly_drawn(
            controlled, request, image=request.control, controlnet_conditioning_scale=request.scale
        )

    with passes(ControlNetModel) as rows_of_control:
        rows = compared(stable_diffusion_profile(folder, control=control), requests, alone)
    assert max(rows) >= 4
    assert sum(rows_of_control) == 4 * 5 * 2
    assert max(rows_of_control) >= 4
    assert off(alone(requests[3]), alone(requests[4])) > 0.01, "the control changed nothing"


def test_outside_the_mask_no_pixel_changes(folder: Path) -> None:
    with drawing(stable_diffusion_profile(folder)) as pictures:
        (made,) = pictures.generate(MASKED[0])
    given, changed = np.asarray(MASKED[0].image), np.asarray(made)
    half = SIDE // 2
    assert np.array_equal(given[:, :half], changed[:, :half])
    assert np.abs(given[:, half:].astype(int) - changed[:, half:]).max() > 20
