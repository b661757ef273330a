"""SDXL at float16, whose autoencoder overflows there: requests at once, and their previews."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.loaded_pipeline import LoadedPipeline
from models.diffusion.requests import DenoisingStep, DiffusionRequest
from models.profiles.load import Capability
from tests.support.drawing import (
    SIZE,
    drawing,
    off,
    photo,
    plain,
    plainly_drawn,
    profile_of,
    right_half,
)
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry

XL = "StableDiffusionXLPipeline"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SDXL miniature whose autoencoder asks to be upcast and overflows, as the real one's."""
    folder = miniatures.stable_diffusion_xl(tmp_path_factory.mktemp("xl"))
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    assert vae.config.force_upcast
    with torch.no_grad():  # activations beyond the 65,504 of float16, and back
        vae.post_quant_conv.weight.mul_(4e4)
        vae.post_quant_conv.bias.mul_(4e4)
        vae.decoder.conv_in.weight.div_(4e4)
    vae.save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def pictures(folder: Path) -> Iterator[ImagePipeline]:
    uses = (Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.INPAINT)
    base = entry(XL, folder, dtype="float16")
    with drawing(profile_of({"base": base}, dict.fromkeys(uses, "base"))) as pictures:
        yield pictures


REQUESTS = [
    *(DiffusionRequest("a cat", n, steps=2 + n % 3, guidance=3.0) for n in range(6)),
    DiffusionRequest("a cat", 6, steps=4, guidance=3.0, image=photo(6)),
    DiffusionRequest("a cat", 7, steps=4, guidance=3.0, image=photo(7), mask=right_half()),
    DiffusionRequest("a cat", 8, steps=2, guidance=3.0, count=3),
]


def test_requests_at_once_and_their_previews_succeed(pictures: ImagePipeline) -> None:
    previews: list[np.ndarray] = []  # type: ignore[type-arg]

    def preview(step: DenoisingStep) -> None:
        shown = step.preview()
        assert shown is not None
        previews.append(np.asarray(shown))

    with ThreadPoolExecutor(len(REQUESTS)) as pool:
        drawn = list(pool.map(lambda request: pictures.generate(request, preview), REQUESTS))
    assert all(np.asarray(image).std() > 1 for images in drawn for image in images)
    assert all(preview.std() > 1 for preview in previews), "black: it was decoded at float16"


def test_a_picture_equals_that_of_the_plain_pipeline(folder: Path, pictures: ImagePipeline) -> None:
    request = REQUESTS[2]
    (drawn,) = pictures.generate_arrays(request)
    expected = plainly_drawn(plain(folder, XL, dtype=torch.float16), request, **SIZE)
    assert off(drawn, expected) < 2e-3  # float16 has three digits


def test_only_an_autoencoder_that_its_pipelines_would_upcast_is_kept_in_float32(
    folder: Path, tmp_path: Path
) -> None:
    miniatures.stable_diffusion(tmp_path)
    for kind, path, dtype in (
        (XL, folder, torch.float32),
        ("StableDiffusionPipeline", tmp_path, torch.float16),
    ):
        pipeline = LoadedPipeline(entry(kind, path, dtype="float16")).network
        assert pipeline.vae.dtype == dtype
        assert pipeline.unet.dtype == torch.float16
