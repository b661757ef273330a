"""Draw the lesson that has every construct of Markdown, in English and in Arabic.

    python -m scripts.lesson_gallery

Writes ``docs/gallery/constructs.md`` and its pictures: of each scene the last frame of each page,
and what the voice says. No service is needed. ``--check`` only says whether the page is current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from models.schemas.lesson import Lesson, Scene
from models.slides.canvas import Canvas
from models.slides.render import layout_scene
from models.slides.theme import THEMES

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "deployments" / "generators" / "study_animation" / "example"
PAGE = ROOT / "docs" / "gallery" / "constructs.md"
PICTURE = "leaf.png"
SIZE, FPS, QUALITY = (854, 480), 24.0, 80
_LANGUAGES = {"en": "constructs.md", "ar": "constructs.ar.md"}
_HEAD = """\
# Every construct, drawn

Written by `python -m scripts.lesson_gallery`: one lesson with everything that
[the table of constructs](../generators.md#what-markdown-becomes) names, in
[English](../../deployments/generators/study_animation/example/constructs.md) and in
[Arabic](../../deployments/generators/study_animation/example/constructs.ar.md). Below the last
frame of each scene stands what is sent to the voice.
"""


@dataclass(frozen=True)
class Tongue:
    """The lesson in one language, with the lines of its source."""

    language: str
    lines: tuple[str, ...]
    lesson: Lesson

    def source(self, scene: Scene) -> str:
        """The Markdown that ``scene`` was made from."""
        first, last = scene.source_lines or (1, 0)
        return "\n".join(self.lines[first - 1 : last]).strip()


def read_tongues() -> list[Tongue]:
    """Read the lesson in each language.

    Raises:
        ValueError: the scenes of one language are of other kinds than those of another.
    """
    tongues = []
    for language, name in _LANGUAGES.items():
        text = (SOURCES / name).read_text(encoding="utf-8")
        lesson = lesson_from_markdown(text, (PICTURE,), language)
        tongues.append(Tongue(language, tuple(text.splitlines()), lesson))
    kinds = {tuple(scene.type for scene in tongue.lesson.scenes) for tongue in tongues}
    if len(kinds) > 1:
        raise ValueError("the lesson has other constructs in one language than in another")
    return tongues


def draw_pages(tongue: Tongue, scene: Scene) -> list[Image.Image]:
    """Draw each page of ``scene`` when everything on it is there."""
    canvas = Canvas(*SIZE, FPS, THEMES["light"], tongue.language)
    with Image.open(SOURCES / PICTURE) as picture:
        drawing = layout_scene(scene, canvas, {PICTURE: picture.convert("RGB")})
    seconds = 3.0 * (drawing.beats + 1)
    times = [3.0 * beat for beat in range(drawing.beats)]
    turns = [times[first] for first in drawing.pages[1:]]
    return [Image.fromarray(drawing.frame(end - 0.01, seconds, times)) for end in (*turns, seconds)]


def picture_name(language: str, number: int, page: int) -> str:
    """The name of a picture of scene ``number``, counted from 1."""
    return f"{language}-{number:02}{'' if page == 0 else f'-{page + 1}'}.webp"


def write_page(tongues: Sequence[Tongue], pictures: dict[str, list[int]]) -> str:
    """Write the page; ``pictures`` holds how many each scene has, by language."""
    parts = [_HEAD]
    for index, scenes in enumerate(zip(*(t.lesson.scenes for t in tongues), strict=True)):
        parts.append(f"## {index + 1}. {scenes[0].type.capitalize()}\n")
        source = tongues[0].source(scenes[0])
        fence = "~~~~" if "~~~" not in source else "~~~~~~"
        parts.append(f"{fence}markdown\n{source}\n{fence}\n")
        cells = []
        for tongue, scene in zip(tongues, scenes, strict=True):
            names = (
                picture_name(tongue.language, index + 1, page)
                for page in range(pictures[tongue.language][index])
            )
            said = f"{scene.type}, {tongue.language}"
            cells.append(" ".join(f"![{said}](constructs/{name})" for name in names))
        voices = [_cell(scene.narration) for scene in scenes]
        rows = [" | ".join(row) for row in (cells, ["---"] * len(cells), voices)]
        parts.append("".join(f"| {row} |\n" for row in rows))
    for tongue in tongues:
        parts.append(f"## Left out, {tongue.language}\n")
        rows = [
            f"| {left.lines[0] if left.lines else ''} | {_cell(left.text)} | {left.reason} |"
            for left in tongue.lesson.left_out
        ]
        parts.append("\n".join(["| line | words | why |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    """``text`` as one cell of a table, each sign of it as it is."""
    line = " ".join(text.split())
    for sign in "\\|*_<>`$[]~":
        line = line.replace(sign, f"\\{sign}")
    return line or "(silence)"


def draw_all(tongues: Sequence[Tongue], folder: Path) -> dict[str, list[int]]:
    """Draw every scene into ``folder``; return how many pictures each has, by language."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    counts: dict[str, list[int]] = {}
    for tongue in tongues:
        for number, scene in enumerate(tongue.lesson.scenes, start=1):
            pages = draw_pages(tongue, scene)
            for page, frame in enumerate(pages):
                path = folder / picture_name(tongue.language, number, page)
                frame.save(path, quality=QUALITY, method=6)
            counts.setdefault(tongue.language, []).append(len(pages))
    return counts


def drawn_before(tongues: Sequence[Tongue], folder: Path) -> dict[str, list[int]]:
    """How many pictures of each scene are in ``folder``, by language."""
    return {
        tongue.language: [
            len(list(_pictures_of(folder, tongue.language, number)))
            for number in range(1, len(tongue.lesson.scenes) + 1)
        ]
        for tongue in tongues
    }


def _pictures_of(folder: Path, language: str, number: int) -> Iterator[Path]:
    return folder.glob(picture_name(language, number, 0).replace(".webp", "*.webp"))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lesson_gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="draw and write nothing")
    arguments = parser.parse_args(argv)
    tongues, folder = read_tongues(), PAGE.with_suffix("")
    if arguments.check:
        if PAGE.read_text(encoding="utf-8") != write_page(tongues, drawn_before(tongues, folder)):
            sys.exit(f"{PAGE} is not current: run python -m scripts.lesson_gallery")
        return
    counts = draw_all(tongues, folder)
    PAGE.write_text(write_page(tongues, counts), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
