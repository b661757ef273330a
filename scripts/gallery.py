"""Make the gallery: run each command of docs/gallery.md and draw the pictures below it.

    python -m scripts.gallery

Needs a running service, found as ``atelier`` finds it. A picture in the page names in its
title the outputs it shows: ``![alt](gallery/shirt.png "before-after.png")``. Films are shown as
strips of their frames, several pictures side by side.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from PIL import Image

from atelier_client import AtelierError, Client
from atelier_client.command.follow import follow
from atelier_client.command.inputs import BadArguments, read_input
from atelier_client.command.screen import Screen
from atelier_client.command.settings import BadConfiguration, ServiceNotFound, find_service
from scripts.frames import GAP, strip

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
FRAMES = 5
FRAME_HEIGHT = 160
PICTURE_HEIGHT = 256
WIDEST = 1280
_FILMS = {".mp4", ".webm", ".gif"}
_LINE = re.compile(r"atelier run (.+)")
_PICTURE = re.compile(r'!\[[^\]]*\]\(gallery/([\w-]+\.png) "([^"]+)"\)')


class NoMatchingOutputs(RuntimeError):
    """A picture of the page names outputs that its command does not make."""


@dataclass(frozen=True)
class GalleryItem:
    """A command of the page and its pictures: the file of each and the pattern of its outputs."""

    generator: str
    words: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...]


def read_items(page: str) -> Iterator[GalleryItem]:
    """Read the commands of ``page`` in order, each with the pictures up to the next."""
    lines = list(_LINE.finditer(page))
    ends = [*(line.start() for line in lines[1:]), len(page)]
    for line, end in zip(lines, ends, strict=True):
        generator, *words = shlex.split(line.group(1))
        yield GalleryItem(generator, tuple(words), tuple(_PICTURE.findall(page[line.end() : end])))


def run_item(piece: GalleryItem, client: Client, folder: Path, screen: Screen) -> list[Path]:
    """Run the command; returns the files by the names of the outputs.

    Raises:
        AtelierError: the service refused the input, or the job failed.
    """
    job = client.jobs.create(piece.generator, read_input(piece.words))
    with screen.progress() as reporter:
        job = follow(client, job, reporter)
    return client.jobs.save(job.require_success(), folder)


def render_outputs(files: Sequence[Path], pattern: str) -> Image.Image:
    """Draw one picture of all ``files`` that match ``pattern``.

    Raises:
        NoMatchingOutputs: no file matches.
    """
    matching = [path for path in files if fnmatch(path.name, pattern)]
    if not matching:
        raise NoMatchingOutputs(f"no output is {pattern}: {[path.name for path in files]}")
    if matching[0].suffix in _FILMS:
        return strip(matching[0], FRAMES, FRAME_HEIGHT)
    pictures = [_resize(Image.open(path).convert("RGBA")) for path in matching]
    width = sum(picture.width + GAP for picture in pictures) - GAP
    whole = Image.new("RGB", (width, PICTURE_HEIGHT), "white")
    x = 0
    for picture in pictures:
        whole.paste(picture, (x, 0), picture)
        x += picture.width + GAP
    whole.thumbnail((WIDEST, PICTURE_HEIGHT))
    return whole


def _resize(picture: Image.Image) -> Image.Image:
    small = picture.height < PICTURE_HEIGHT
    resample = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    width = round(picture.width * PICTURE_HEIGHT / picture.height)
    return picture.resize((width, PICTURE_HEIGHT), resample)


def draw_gallery(
    items: Iterable[GalleryItem], client: Client, out: Path, pictures: Path, screen: Screen
) -> list[Path]:
    """Run the commands: results go to ``out``, pictures to the folder ``pictures``."""
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = []
    for number, piece in enumerate(items):
        screen.note(" ".join([piece.generator, *piece.words]))
        files = run_item(piece, client, out / f"{number:02}-{piece.generator}", screen)
        for name, pattern in piece.pictures:
            drawn.append(pictures / name)
            render_outputs(files, pattern).save(drawn[-1], optimize=True)
    return drawn


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("out/gallery"), help="for whole results")
    parser.add_argument("--pictures", type=Path, default=PAGE.with_suffix(""))
    parser.add_argument("--url", help="base URL of the service")
    parser.add_argument("--dev", type=Path, metavar="FILE", help="the dev.json of a ./scripts/run")
    arguments = parser.parse_args(argv)
    screen = Screen()
    try:
        service = find_service(arguments.url, arguments.dev)
        with Client(service.url, service.api_key or "") as client:
            items = read_items(PAGE.read_text(encoding="utf-8"))
            for path in draw_gallery(items, client, arguments.out, arguments.pictures, screen):
                screen.result(str(path))
    except (
        AtelierError,
        BadArguments,
        BadConfiguration,
        NoMatchingOutputs,
        ServiceNotFound,
    ) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
