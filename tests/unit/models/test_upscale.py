"""Larger pictures: resampling that keeps what is there, diffusion in tiles without seams."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, Profile
from models.vision.upscale import (
    UpscaleNotSupported,
    Upscaler,
    UpscaleRequest,
    blend_tiles,
    tile_boxes,
)
from tests.support.miniatures import pictures
from tests.support.miniatures.profile import entry, profile


def gradient(width: int, height: int) -> Image.Image:
    across = np.linspace(20, 220, width)[None, :, None]
    down = np.linspace(0, 30, height)[:, None, None]
    return Image.fromarray(np.broadcast_to(across + down, (height, width, 3)).astype(np.uint8))


def loaded(profile: Profile) -> Upscaler:
    return Upscaler.loader(profile).load(MemoryPlan.RESIDENT, "cpu")


@pytest.fixture
def lanczos() -> Upscaler:
    return loaded(profile(Capability.UPSCALE, entry("lanczos", None)))


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    folder = pictures.x4_upscaler(tmp_path_factory.mktemp("x4"))
    model = entry("StableDiffusionUpscalePipeline", folder)
    use = {"width": 64, "min_size": 64, "max_size": 512, "steps": 2, "guidance": 2.0}
    return loaded(profile(Capability.UPSCALE, model, **use))


@pytest.mark.parametrize("factor", [2, 4])
def test_resampling_keeps_the_picture_and_says_that_it_is_one(
    lanczos: Upscaler, factor: int
) -> None:
    image = gradient(40, 30)
    made = lanczos.upscale(UpscaleRequest(image, factor))
    assert made.image.size == (40 * factor, 30 * factor)
    assert not made.generative
    back = np.asarray(made.image.resize(image.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(back - np.asarray(image)).max() <= 4


def test_an_edge_is_steeper_than_after_plain_resampling(lanczos: Upscaler) -> None:
    pixels = np.full((16, 16, 3), 60, np.uint8)
    pixels[:, 8:] = 190
    image = Image.fromarray(pixels)
    made = np.asarray(lanczos.upscale(UpscaleRequest(image, 4)).image).astype(int)
    plain = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS)).astype(int)
    assert np.diff(made[32, :, 0]).max() > np.diff(plain[32, :, 0]).max()


def test_tiles_cover_the_picture_with_one_size_and_overlap() -> None:
    boxes = list(tile_boxes(1000, 600, 512))
    covered = np.zeros((600, 1000), int)
    for left, top, right, bottom in boxes:
        assert (right - left, bottom - top) == (512, 512)
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    lefts = sorted({box[0] for box in boxes})
    assert all(b - a <= 512 - 32 for a, b in pairwise(lefts))
    assert list(tile_boxes(100, 40, 512)) == [(0, 0, 128, 64)]


@pytest.mark.parametrize("size", [(150, 100), (64, 64), (40, 30)])
def test_tiles_that_agree_leave_no_seam(size: tuple[int, int]) -> None:
    image = gradient(*size)
    boxes = list(tile_boxes(*size, 64))

    def enlarge(number: int, tile: Image.Image) -> Image.Image:
        return tile.resize((tile.width * 2, tile.height * 2), Image.Resampling.NEAREST)

    made = np.asarray(blend_tiles(image, 2, boxes, enlarge)).astype(int)
    whole = image.resize((size[0] * 2, size[1] * 2), Image.Resampling.NEAREST)
    assert np.abs(made - np.asarray(whole)).max() <= 1


def test_tiles_that_disagree_fade_into_each_other() -> None:
    boxes = list(tile_boxes(96, 64, 64))
    greys = (100, 160)

    def enlarge(number: int, tile: Image.Image) -> Image.Image:
        return Image.new("RGB", (tile.width * 4, tile.height * 4), (greys[number],) * 3)

    row = np.asarray(blend_tiles(gradient(96, 64), 4, boxes, enlarge))[128, :, 0].astype(int)
    assert (row[0], row[-1]) == greys
    assert np.diff(row).min() >= 0
    assert np.diff(row).max() <= 2


def test_diffusion_enlarges_tile_by_tile_and_counts_every_step(diffusion: Upscaler) -> None:
    seen: list[tuple[int, int]] = []
    request = UpscaleRequest(gradient(80, 50), 4, prompt="a cat", seed=3)
    made = diffusion.upscale(request, lambda number, total: seen.append((number, total)))
    assert made.image.size == (320, 200)
    assert made.generative
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    again = np.asarray(diffusion.upscale(request).image)
    assert np.array_equal(np.asarray(made.image), again)
    other = UpscaleRequest(gradient(80, 50), 4, prompt="a cat", seed=4)
    assert not np.array_equal(again, np.asarray(diffusion.upscale(other).image))


def test_who_stops_in_a_step_disturbs_nobody(diffusion: Upscaler) -> None:
    request = UpscaleRequest(gradient(64, 64), 4, seed=3)
    before = np.asarray(diffusion.upscale(request).image)

    class Stop(Exception):
        pass

    def stop(number: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        diffusion.upscale(request, stop)
    assert np.array_equal(np.asarray(diffusion.upscale(request).image), before)


def test_other_factors_and_other_pipelines_are_refused(
    lanczos: Upscaler, diffusion: Upscaler, tmp_path: Path
) -> None:
    for upscaler, factor in ((lanczos, 3), (diffusion, 2)):
        with pytest.raises(UpscaleNotSupported, match=f"not by {factor}"):
            upscaler.upscale(UpscaleRequest(gradient(8, 8), factor))
    with pytest.raises(UpscaleNotSupported, match="FluxPipeline is no upscaler"):
        loaded(profile(Capability.UPSCALE, entry("FluxPipeline", tmp_path)))
