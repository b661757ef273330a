"""Profiles are applied and files are tagged: a color is the same before and after."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from models.media.color import srgb_profile
from models.media.images import encode_image, read_image
from models.media.png import ImageMetadata
from models.media.poster import encode_poster
from tests.support.color_profiles import (
    ADOBE,
    INKS,
    P3,
    SRGB,
    SWAPPED,
    cmyk_profile,
    gray_profile,
    in_space,
    lab_in_srgb,
    rgb_profile,
)

COLORS = np.array(
    [[(220, 30, 30), (30, 180, 30)], [(35, 35, 210), (236, 220, 84)], [(255, 255, 255), (0, 0, 0)]],
    np.uint8,
).repeat(16, 0).repeat(16, 1)  # fmt: skip
METADATA = ImageMetadata("a circle", "", 1, "model", 4, 3.0)


def read(picture: Image.Image, kind: str, folder: Path, **options: Any) -> NDArray[np.int64]:
    path = folder / "picture"
    picture.save(path, kind, **options)
    done = read_image(path)
    assert (done.mode, done.info) == ("RGB", {})
    return np.asarray(done, int)


def off(read_colors: NDArray[np.int64], colors: NDArray[Any] = COLORS) -> int:
    return int(np.abs(read_colors - colors.astype(int)).max())


SPACES: dict[str, tuple[NDArray[np.float64], float | None]] = {
    "Display P3": (P3, None),
    "Adobe RGB": (ADOBE, 2.2),
    "sRGB": (SRGB, None),
    "linear": (SRGB, 1.0),
    "swapped channels": (SWAPPED, None),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_color_is_what_its_profile_says(name: str, tmp_path: Path) -> None:
    matrix, gamma = SPACES[name]
    picture = Image.fromarray(in_space(COLORS, matrix, gamma))
    seen = read(picture, "PNG", tmp_path, icc_profile=rgb_profile(matrix, gamma))
    assert off(seen) <= (2 if name != "linear" else 6)  # 8 bits of light are coarse in the dark


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_every_format_has_its_profile_applied(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    picture = Image.fromarray(in_space(COLORS, P3))
    without = off(np.asarray(picture, int))
    assert off(read(picture, kind, tmp_path, icc_profile=rgb_profile(P3), **options)) < 8 < without


def test_heic_is_upright_and_in_its_colors() -> None:
    # A Display P3 picture with red, green, blue and yellow quarters, stored on its side.
    done = read_image(Path("tests/support/pictures/p3_turned.heic"))
    corners = [done.getpixel(place) for place in ((8, 8), (56, 8), (8, 56), (56, 56))]
    wanted = [(220, 30, 30), (30, 180, 30), (30, 30, 221), (240, 220, 38)]
    assert off(np.array(corners), np.array(wanted)) <= 4


def test_a_palette_has_its_profile_applied(tmp_path: Path) -> None:
    picture = Image.fromarray(in_space(COLORS, P3)).quantize(6)
    assert off(read(picture, "PNG", tmp_path, icc_profile=rgb_profile(P3))) <= 2


def test_transparency_stays_beside_the_profile(tmp_path: Path) -> None:
    clear = np.arange(COLORS.shape[0] * COLORS.shape[1], dtype=np.uint8).reshape(COLORS.shape[:2])
    picture = Image.fromarray(np.dstack([in_space(COLORS, P3), clear]))
    picture.save(tmp_path / "clear.png", icc_profile=rgb_profile(P3))
    done = np.asarray(read_image(tmp_path / "clear.png", alpha=True))
    assert (done[..., 3] == clear).all()
    assert off(done[..., :3].astype(int)) <= 2


@pytest.mark.parametrize("deep", [False, True])
def test_gray_has_its_curve_applied(deep: bool, tmp_path: Path) -> None:
    wanted = np.linspace(30, 255, 64).round()
    light = np.where(wanted / 255 <= 0.04045, 0, ((wanted / 255 + 0.055) / 1.055) ** 2.4)
    levels = np.tile(light ** (1 / 1.8), (8, 1))
    pixels = (levels * 65535).astype(np.uint16) if deep else (levels * 255).round().astype(np.uint8)
    seen = read(Image.fromarray(pixels), "PNG", tmp_path, icc_profile=gray_profile(1.8))
    assert off(seen[..., 0], np.tile(wanted, (8, 1))) <= 2


@pytest.mark.parametrize("ink", range(16))
@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_is_printed_by_its_profile(kind: str, ink: int, tmp_path: Path) -> None:
    levels = tuple(255 if ink & bit else 0 for bit in (8, 4, 2, 1))
    picture = Image.new("CMYK", (16, 16), levels)
    seen = read(picture, kind, tmp_path, icc_profile=cmyk_profile())
    if ink in (4, 6, 8, 10):
        wanted = lab_in_srgb(INKS[ink])
        naive = np.asarray(picture.convert("RGB"), int)[0, 0]
        assert np.abs(seen[0, 0] - wanted).max() < 20 < np.abs(naive - wanted).max()
    if ink == 15:
        assert seen.max() <= 20


def test_cmyk_without_a_profile_is_read(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert off(read(picture, "TIFF", tmp_path), np.array([255, 0, 0])) <= 2


def test_pixels_of_srgb_are_kept_exactly(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for icc in (srgb_profile(), rgb_profile(SRGB), None):
        seen = read(Image.fromarray(noise), "PNG", tmp_path, icc_profile=icc)
        assert (seen == noise).all()


@pytest.mark.parametrize(
    "profile",
    [b"no profile", rgb_profile(P3)[:200], gray_profile(1.8), cmyk_profile(), b"\0" * 5000],
    ids=["words", "cut off", "gray", "cmyk", "zeros"],
)
def test_a_profile_that_does_not_fit_is_left_out(profile: bytes, tmp_path: Path) -> None:
    seen = read(Image.fromarray(COLORS), "PNG", tmp_path, icc_profile=profile)
    assert (seen == COLORS).all()


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


ENCODED: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda picture: encode_image(picture, METADATA, "png"),
    "jpeg": lambda picture: encode_image(picture, METADATA, "jpeg"),
    "webp": lambda picture: encode_image(picture, METADATA, "webp"),
    "poster.jpeg": lambda picture: encode_poster(picture, METADATA),
    "poster.png": lambda picture: encode_poster(picture, METADATA, "png"),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_what_is_written_is_tagged_srgb(kind: str, tmp_path: Path) -> None:
    picture = Image.fromarray(COLORS)
    picture.info["icc_profile"] = rgb_profile(P3)  # of something else: it must not get in
    content = ENCODED[kind](picture)
    info = _opened(content).info
    if kind.endswith("png"):
        assert info["srgb"] == 0
        assert "icc_profile" not in info
        assert content.index(b"sRGB") < content.index(b"IDAT")
    else:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert ENCODED[kind](picture) == content, "the same picture is the same file"
    (tmp_path / "made").write_bytes(content)
    decoded = np.asarray(_opened(content).convert("RGB"), int)
    assert off(np.asarray(read_image(tmp_path / "made"), int), decoded) == 0


P3_PRIMARIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def png_chunks(gamma: int, primaries: tuple[int, ...] = (), **others: bytes) -> PngInfo:
    chunks = PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", gamma))
    if primaries:
        chunks.add(b"cHRM", struct.pack(">8I", *primaries))
    for name, content in others.items():
        chunks.add(name.encode(), content)
    return chunks


def test_a_png_without_a_profile_has_the_gamma_and_the_primaries_that_it_says(
    tmp_path: Path,
) -> None:
    linear = Image.fromarray(in_space(COLORS, SRGB, 1.0))
    assert off(read(linear, "PNG", tmp_path, pnginfo=png_chunks(100_000))) <= 6
    wide = Image.fromarray(in_space(COLORS, P3))
    assert off(read(wide, "PNG", tmp_path, pnginfo=png_chunks(45_455, P3_PRIMARIES))) <= 3


def test_a_png_that_says_it_is_as_usual_keeps_its_pixels(tmp_path: Path) -> None:
    picture = Image.fromarray(COLORS)
    for chunks in (
        png_chunks(45_455),
        png_chunks(45_455, SRGB_PRIMARIES),
        png_chunks(100_000, sRGB=b"\0"),
        png_chunks(0),
        png_chunks(100_000, (0,) * 8),
        png_chunks(100_000, (31270, 32900, *(64000, 33000) * 3)),
    ):
        assert off(read(picture, "PNG", tmp_path, pnginfo=chunks)) == 0
    options = {"pnginfo": png_chunks(100_000), "icc_profile": rgb_profile(SRGB)}
    assert off(read(picture, "PNG", tmp_path, **options)) == 0
