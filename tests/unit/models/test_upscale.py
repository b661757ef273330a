"""Larger pictures: resampling that keeps what is there, a network in tiles without seams."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, Profile, load_profile, profile_names
from models.vision.upscale import Upscaler, blend_tiles, tile_boxes
from models.vision.upscale_limits import FACTORS, UpscaleNotSupported
from tests.support.miniatures import readers
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
def swin2sr(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    folder = readers.swin2sr(tmp_path_factory.mktemp("swin2sr"))
    return loaded(profile(Capability.UPSCALE, entry("Swin2SRForImageSuperResolution", folder)))


@pytest.mark.parametrize("factor", [2, 4])
def test_resampling_keeps_the_picture(lanczos: Upscaler, factor: int) -> None:
    image = gradient(40, 30)
    made = lanczos.upscale(image, factor)
    assert made.image.size == (40 * factor, 30 * factor)
    assert made.model == "miniature"
    back = np.asarray(made.image.resize(image.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(back - np.asarray(image)).max() <= 4


def test_an_edge_is_steeper_than_after_plain_resampling(lanczos: Upscaler) -> None:
    pixels = np.full((16, 16, 3), 60, np.uint8)
    pixels[:, 8:] = 190
    image = Image.fromarray(pixels)
    made = np.asarray(lanczos.upscale(image, 4).image).astype(int)
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


@pytest.mark.parametrize("factor", FACTORS)
def test_a_picture_of_any_size_is_enlarged_tile_by_tile(swin2sr: Upscaler, factor: int) -> None:
    seen: list[tuple[int, int]] = []
    image = gradient(300, 50)
    made = swin2sr.upscale(image, factor, lambda number, total: seen.append((number, total)))
    assert made.image.size == (300 * factor, 50 * factor)
    assert made.image.mode == "RGB"
    assert seen == [(1, 2), (2, 2)]
    assert np.array_equal(np.asarray(made.image), np.asarray(swin2sr.upscale(image, factor).image))


def test_twice_as_large_is_half_of_four_times(swin2sr: Upscaler) -> None:
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    four, two = (swin2sr.upscale(image, factor).image for factor in (4, 2))
    half = four.resize(two.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(half).astype(int) - np.asarray(two)).max() <= 1


def test_the_networks_own_colors_come_out(swin2sr: Upscaler) -> None:
    """One tile equals what the network makes of the picture's colors from 0 to 1."""
    import torch

    image = Image.effect_noise((64, 64), 80).convert("RGB")
    pixels = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        large = swin2sr.network(pixel_values=pixels).reconstruction[0].permute(1, 2, 0)
    expected = (large.clamp(0, 1) * 255).round().numpy()
    assert np.ptp(expected) > 0
    assert np.abs(np.asarray(swin2sr.upscale(image, 4).image) - expected).max() <= 1


def test_who_stops_after_a_tile_disturbs_nobody(swin2sr: Upscaler) -> None:
    image = gradient(300, 50)
    before = np.asarray(swin2sr.upscale(image, 4).image)

    class Stop(Exception):
        pass

    def stop(number: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        swin2sr.upscale(image, 4, stop)
    assert np.array_equal(np.asarray(swin2sr.upscale(image, 4).image), before)


def test_other_factors_and_other_weights_are_refused(
    lanczos: Upscaler, swin2sr: Upscaler, tmp_path: Path
) -> None:
    for upscaler in (lanczos, swin2sr):
        with pytest.raises(UpscaleNotSupported, match="by 2 or 4, not by 3"):
            upscaler.upscale(gradient(8, 8), 3)
    with pytest.raises(UpscaleNotSupported, match="FluxPipeline is no upscaler"):
        loaded(profile(Capability.UPSCALE, entry("FluxPipeline", tmp_path)))
    twice = readers.swin2sr(tmp_path / "twice", factor=2)
    with pytest.raises(UpscaleNotSupported, match="enlarges by 2, not by 4"):
        loaded(profile(Capability.UPSCALE, entry("Swin2SRForImageSuperResolution", twice)))


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "tiny"])
def test_every_card_enlarges_in_one_pass(name: str) -> None:
    assert load_profile(name).model(Capability.UPSCALE).loader == "Swin2SRForImageSuperResolution"
