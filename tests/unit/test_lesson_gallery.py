"""The lesson of docs/gallery/constructs.md has every construct, and the page is current."""

import re

import numpy as np
import pytest
from PIL import Image

from scripts import lesson_gallery

TABLE = lesson_gallery.ROOT / "docs" / "generators" / "study_animation.md"
# The first words of each row of the table, and what the lesson has of it.
WRITTEN = {
    "`# Heading`, or": r"\n=====\n[\s\S]*^# ",
    "`## Heading` to": r"^## [\s\S]*\n-{10,}\n",
    "paragraph before a": r"\n\n\w.*\n\n```python",
    "paragraph after the": r"^3\. .*\n\n\w",
    "paragraph where a": r"\n-{10,}\n\n\w",
    "`- point`, `*": r"^- \w[\s\S]*^• ",
    "`1. step`": r"^1\. ",
    "list within a": r"^   - .*\n   - .*\n     1\. ",
    "`- [ ]` and": r"^- \[x\] .*\n- \[ \] ",
    "table": r"^\| .*\n\|-",
    "code between fences": r'^```python title="[\s\S]*^    \w[\s\S]*^```\n',
    "`> quote`": r"^> \w",
    "`> [!NOTE]` and": r"^> \[!TIP\]\n> ",
    "`$$ formula $$`,": r"^\$\$ [\s\S]*^\\\[ [\s\S]*^```math\n",
    "`$x^2$`, `\\(x^2\\)`": r"^## .*\$.+\$\n\n.*\\\([\s\S]*^- .*\$[\s\S]*\| \$",
    "`![caption](images/leaf.png)`, in": r"!\[.+\]\(images/leaf\.png\)",
    "```` ```plot ````,": r"^```diagram\n[\s\S]*^```plot\n[\s\S]*^```quiz\n",
    "```` ```mermaid ````": "",  # refused
    "`---`, `***`": r"\n---\n[\s\S]*\n\*\*\*\n[\s\S]*\n#\n",
    "`**strong**`, `*emphasis*`,": r"\*\*\w[\s\S]*\*\w+\*[\s\S]*~~\w[\s\S]*`\w+`",
    "`[words](address)`": r"(?<!!)\[\w.*\]\(https:",
    "`<https://example.org/a>`": r"<https://example\.org/",
    "footnote": r"\[\^1\][\s\S]*^\[\^1\]: ",
    "HTML": r"<p>.*<b>",
    "`<!-- comment": r"\A---\nmarp[\s\S]*<!-- [\s\S]*\n---\nlayout: ",
}


@pytest.mark.parametrize("tongue", lesson_gallery.read_tongues(), ids=lambda t: t.language)
def test_the_lesson_has_every_construct_of_the_table(tongue: lesson_gallery.Tongue) -> None:
    table = TABLE.read_text("utf-8").partition("| construct |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ")[0] for line in table.splitlines()[2:]]
    text = "\n".join(tongue.lines)
    known = {row: [p for begin, p in WRITTEN.items() if row.startswith(begin)] for row in rows}
    assert [row for row, patterns in known.items() if len(patterns) != 1] == []
    lacking = [row for row, (p,) in known.items() if not re.search(p, text, re.MULTILINE)]
    assert lacking == []


def test_the_page_says_what_the_lesson_says() -> None:
    tongues, folder = lesson_gallery.read_tongues(), lesson_gallery.PAGE.with_suffix("")
    pictures = lesson_gallery.drawn_before(tongues, folder)
    written = lesson_gallery.PAGE.read_text("utf-8")
    assert written == lesson_gallery.write_page(tongues, pictures)


@pytest.mark.parametrize("kind", ["steps", "table"])
def test_its_pictures_are_current(kind: str) -> None:
    for tongue in lesson_gallery.read_tongues():
        scenes = tongue.lesson.scenes
        number = next(n for n, scene in enumerate(scenes, start=1) if scene.type == kind)
        (frame,) = lesson_gallery.draw_pages(tongue, scenes[number - 1])
        name = lesson_gallery.picture_name(tongue.language, number, 0)
        with Image.open(lesson_gallery.PAGE.with_suffix("") / name) as picture:
            shown = np.asarray(picture.convert("RGB"), float)
        assert np.abs(np.asarray(frame, float) - shown).mean() < 2
