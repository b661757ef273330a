"""The options of a profile's model, on a CPU. ``tests/gpu/test_options.py`` has them on a card."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import DiffusionPipeline
from torch import Generator

from models.diffusion.adapters import adapted_copy
from models.diffusion.options import OptionNotAvailable, apply_options
from models.profiles.load import Options
from tests.support.miniatures import flows, pictures


@pytest.fixture(scope="module")
def unet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def transformer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flows.flux(tmp_path_factory.mktemp("flux"))


def read(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, seed: int = 0) -> np.ndarray[Any, Any]:
    made = pipeline(
        prompt="a circle", width=32, height=32, num_inference_steps=4, output_type="np",
        generator=Generator().manual_seed(seed),
    )  # fmt: skip
    return np.asarray(made.images[0])


def given(folder: Path, alone: bool = False, **options: Any) -> Any:
    pipeline = read(folder)
    apply_options(pipeline, Options(**options), "cpu", alone=alone)
    return pipeline


def test_weights_are_quantized_and_the_picture_stays_close(unet_folder: Path) -> None:
    plain = draw(read(unet_folder))
    errors = [
        np.abs(draw(given(unet_folder, quantization=kind)) - plain).mean()
        for kind in ("none", "int8", "nf4")
    ]
    assert errors[0] == 0 < errors[1] < errors[2] < 0.1


def test_attention_runs_on_the_kernel_asked_for(
    unet_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    seen = set()
    real = torch.nn.functional.scaled_dot_product_attention

    def watched(*arguments: Any, **options: Any) -> Any:
        cuda = torch.backends.cuda
        seen.add((cuda.flash_sdp_enabled(), cuda.math_sdp_enabled()))
        return real(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    pipeline = given(unet_folder, attention="math")
    unet = pipeline.unet
    for denoiser in (unet, adapted_copy(pipeline).unet):  # an adapter's copy has the kernel as well
        seen.clear()
        denoiser(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 4, 32))
        assert seen == {(False, True)}
    assert torch.backends.cuda.flash_sdp_enabled()  # and everything else keeps its own


def test_an_adapters_copy_is_a_network_of_its_own(unet_folder: Path) -> None:
    import torch

    pipeline = given(unet_folder, attention="math")
    copy = adapted_copy(pipeline).unet
    inputs = (torch.ones(1, 4, 8, 8), 1, torch.ones(1, 4, 32))
    before = pipeline.unet(*inputs).sample
    copy.conv_out = torch.nn.Identity()  # as an adapter changes what it was given
    assert copy(*inputs).sample.shape != before.shape
    assert torch.equal(pipeline.unet(*inputs).sample, before)


def test_a_step_cache_saves_steps_and_forgets_them_between_requests(
    transformer_folder: Path,
) -> None:
    plain = draw(read(transformer_folder))
    cached = given(transformer_folder, alone=True, step_cache=0.9)
    first = draw(cached)
    assert 0 < np.abs(first - plain).mean() < 0.1
    draw(cached, seed=1)
    assert np.array_equal(draw(cached), first)


@pytest.mark.parametrize(
    ("options", "alone", "reason"),
    [
        ({"step_cache": 0.1}, False, "shared by several"),
        ({"step_cache": 0.1}, True, "for transformers"),
        ({"attention": "cudnn"}, False, "needs a CUDA device"),
    ],
)
def test_what_cannot_be_had_is_refused(
    unet_folder: Path, options: dict[str, Any], alone: bool, reason: str
) -> None:
    with pytest.raises(OptionNotAvailable, match=reason):
        given(unet_folder, alone=alone, **options)
