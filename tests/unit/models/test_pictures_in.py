"""Pictures from outside: what is harmless is read rightly, what is not is refused in words."""

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from models.media.images import UnreadableImage, read_image
from tests.support.hostile import HARMLESS, REFUSED, SIXTEEN_BITS, SIZE, plain

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


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_soon_without_filling_the_memory(kind: str, tmp_path: Path) -> None:
    path = given(tmp_path, REFUSED[kind]())
    before, began = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(UnreadableImage) as refused:
        read_image(path)
    assert time.monotonic() - began < 60
    assert psutil.Process().memory_info().rss - before < 200_000_000
    assert str(tmp_path) not in str(refused.value)


def test_what_is_clear_is_white_or_stays_clear(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(path)
    assert read_image(path).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(path, alpha=True).getpixel((0, 0)) == (255, 0, 0, 0)
