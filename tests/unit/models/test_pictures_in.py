"""Pictures from outside: what is harmless is read rightly, what is not is refused in words."""

import random
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from models.media.images import UnreadableImage, read_image
from tests.support.hostile import (
    HARMLESS,
    REFUSED,
    SIXTEEN_BITS,
    SIZE,
    float_tiff,
    plain,
    radiance,
)

CLOSE = 24  # levels; JPEG and palettes change colours a little, CMYK somewhat more


def given(folder: Path, content: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", HARMLESS)
def test_it_is_upright_and_in_its_colours(kind: str, tmp_path: Path) -> None:
    read = read_image(given(tmp_path, HARMLESS[kind]()))
    assert (read.mode, read.size) == ("RGB", SIZE)
    difference = np.abs(np.asarray(read, float) - np.asarray(plain(), float))
    assert difference.mean() < CLOSE


@pytest.mark.parametrize("dark", [1, 1000])
def test_sixteen_bits_become_eight(dark: int, tmp_path: Path) -> None:
    path = given(tmp_path, SIXTEEN_BITS())
    with Image.open(path) as opened:
        grey = np.asarray(opened) // dark
    Image.fromarray(grey.astype(np.uint16)).save(path, "PNG")
    read = np.asarray(read_image(path).convert("L"), float)
    assert np.abs(read - grey / 257).max() <= 1


def gray_of(folder: Path, values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    read = read_image(given(folder, float_tiff(values)))
    return np.asarray(read, int)[..., 1]


RAMP = np.tile(np.linspace(0, 1, 64), (8, 1))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float64) * 0.1, RAMP * 0.1),
        ((RAMP * 255).round().astype(np.float32), RAMP),
        ((RAMP * 65535).round().astype(np.float32), RAMP),
        ((RAMP * 65535).astype(np.uint16), RAMP),
        ((RAMP * (2**32 - 1)).astype(np.uint32), RAMP),
        ((RAMP * 65535).astype(np.int32), RAMP),
    ],
    ids=["float", "dark double", "0 to 255", "0 to 65535", "uint16", "uint32", "int32"],
)
def test_gray_numbers_are_scaled_by_what_they_can_mean(
    values: np.ndarray,  # type: ignore[type-arg]
    wanted: np.ndarray,  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    assert np.abs(gray_of(tmp_path, values) - wanted * 255).max() <= 1


@pytest.mark.parametrize("scale", [0.001, 40.0, 1e6])
@pytest.mark.parametrize("form", ["radiance", "tiff"])
def test_light_without_an_upper_end_is_neither_black_nor_white(
    form: str, scale: float, tmp_path: Path
) -> None:
    light = np.repeat((RAMP[..., None] ** 2 + 0.001) * scale, 3, axis=2).astype(np.float32)
    if form == "tiff" and scale < 1:
        light *= 2000  # below 1 a TIFF has levels
    path = given(tmp_path, radiance(light) if form == "radiance" else float_tiff(light))
    seen = np.asarray(read_image(path), int)[0, :, 1]
    assert (np.diff(seen) >= 0).all(), "what is brighter stays brighter"
    assert seen[-1] - seen[0] > 120
    assert 60 < np.median(seen) < 200


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("dark", [1e-45, 1e-38, 1e-6])
def test_the_brightest_light_beside_the_darkest_is_white(dark: float, tmp_path: Path) -> None:
    light = np.full((8, 8, 3), dark, np.float32)
    light[0, 0] = 1e30
    read = np.asarray(read_image(given(tmp_path, float_tiff(light))))
    assert read[0, 0].min() == 255 and read.max() <= 255


def test_what_is_no_number_is_no_fault(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)
    values[0, :3] = (np.nan, -np.inf, -1)
    seen = gray_of(tmp_path, values)
    assert (seen[0, :3] == 0).all()
    assert np.abs(seen[1] - RAMP[1] * 255).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_float_tiff_is_upright(orientation: int, tmp_path: Path) -> None:
    colors = np.asarray(plain(), np.float32) / 255
    stored = {
        1: colors, 2: colors[:, ::-1], 3: colors[::-1, ::-1], 4: colors[::-1],
        5: colors.transpose(1, 0, 2), 6: np.rot90(colors), 8: np.rot90(colors, -1),
        7: np.rot90(colors, 2).transpose(1, 0, 2),
    }[orientation]  # fmt: skip
    read = read_image(given(tmp_path, float_tiff(np.ascontiguousarray(stored), orientation)))
    assert np.abs(np.asarray(read, int) - np.asarray(plain(), int)).max() <= 1


def test_half_floats_are_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="save it with 32"):
        gray_of(tmp_path, RAMP.astype(np.float16))


def test_a_palette_with_transparency_is_white_where_it_is_clear(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 0, 0, 0, 0, 200])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "p.png", transparency=bytes([255, 0]))
    read = read_image(tmp_path / "p.png")
    assert [read.getpixel((x, 0)) for x in (0, 1)] == [(200, 0, 0), (255, 255, 255)]
    assert read_image(tmp_path / "p.png", alpha=True).getpixel((1, 0)) == (0, 0, 200, 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_soon_without_filling_the_memory(kind: str, tmp_path: Path) -> None:
    path = given(tmp_path, REFUSED[kind]())
    before, began = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(UnreadableImage) as refused:
        read_image(path)
    assert time.monotonic() - began < 60
    assert psutil.Process().memory_info().rss - before < 200_000_000
    assert str(tmp_path) not in str(refused.value)


ALTERED = {
    **{kind: HARMLESS[kind] for kind in ("avif", "float tiff", "radiance", "lab", "cmyk")},
    "heic with exif": Path("tests/support/pictures/p3_turned.heic").read_bytes,
}


@pytest.mark.parametrize("kind", ALTERED)
def test_an_altered_picture_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    chance, whole = random.Random(1), ALTERED[kind]()
    for _ in range(400):
        altered = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            head = min(len(altered), chance.choice([64, 400, len(altered)]))
            altered[chance.randrange(head)] = chance.randrange(256)
        with suppress(UnreadableImage):
            assert read_image(given(tmp_path, bytes(altered))).mode == "RGB"


def test_a_heic_whose_exif_cannot_be_read_ends_no_process(tmp_path: Path) -> None:
    altered = bytearray(ALTERED["heic with exif"]())
    altered[177], altered[282], altered[383] = 0xE9, 0xC0, 0xF6  # pi-heif 1.4 dies of it
    with suppress(UnreadableImage):
        assert read_image(given(tmp_path, bytes(altered))).mode == "RGB"


def test_what_is_clear_is_white_or_stays_clear(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(path)
    assert read_image(path).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(path, alpha=True).getpixel((0, 0)) == (255, 0, 0, 0)
