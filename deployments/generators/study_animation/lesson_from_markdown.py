"""Markdown to a lesson script: which block becomes which scene.

=====================  ===================================================================
``# Heading``          a title scene; the first one names the lesson
``## Heading``         the heading of the scenes that follow, or a title scene without them
``- point``            a bullets scene, with the lists within and boxes
``1. step``            a steps scene; a long list goes on in further scenes
a table                a table scene
``> quote``            a quote scene, also ``> [!NOTE]``
```` ```python ````    a code scene, as any fence and indented code
``$$ a + b = c $$``    an equation scene, built up at ``+``, ``-``, ``=`` and their like; also
                       ``$a + b = c$`` that is a paragraph
``![caption](name)``   a picture scene; the last part of ``name`` is that of a picture given with
                       the request
```` ```plot ````      a plot, ```` ```diagram ```` a diagram, ```` ```quiz ```` a quiz:
                       see :mod:`deployments.generators.study_animation.fenced_blocks`
``---``                the scenes below it are others than those above
paragraph              what the voice says: before a block with it, after the last block of a
                       heading with that; long text, and where a heading has no block, is shown,
                       and all text of a lesson of headings and paragraphs alone
=====================  ===================================================================

Every word is in one scene, in the order of the source, or in the lesson's ``left_out``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from deployments.generators.study_animation.formula_checks import check_formulas
from deployments.generators.study_animation.markdown_reader import MarkdownReader
from deployments.generators.study_animation.scene_drafts import Draft
from models.formulas.inline import plain_line
from models.schemas.lesson import MAX_SCENES, Lesson, Scene
from models.schemas.scene_base import MAX_HEADING
from models.text.document import FrontMatter
from models.text.markdown import read
from models.text.phrases import split_text

_scene: TypeAdapter[Any] = TypeAdapter(Scene)
_TITLE = re.compile(r"^title[ \t]*:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)


@lru_cache(maxsize=16)  # a request is validated, priced and made from the same text
def lesson_from_markdown(text: str, pictures: tuple[str, ...] = (), language: str = "en") -> Lesson:
    """The same text gives the same lesson; ``pictures`` are the names of those that are given,
    ``language`` is the one in which formulas are read aloud.

    Raises:
        BadMarkdown: a block cannot become a scene; the message says which line and why.
    """
    reader = MarkdownReader(pictures, language)
    blocks = read(text).blocks
    check_formulas(blocks, text)
    reader.take_all(blocks)
    if not reader.drafts:
        raise BadMarkdown(1, "there is nothing to show: write a heading, a list or a paragraph")
    if len(reader.drafts) > MAX_SCENES:
        raise BadMarkdown(
            reader.drafts[MAX_SCENES].first,
            f"a lesson has at most {MAX_SCENES} scenes: make two of it",
        )
    scenes = tuple(map(_checked, reader.drafts))
    title = next((d.fields["title"] for d in reader.drafts if d.fields["type"] == "title"), "")
    if blocks and isinstance(blocks[0], FrontMatter) and (named := _TITLE.search(blocks[0].text)):
        title = split_text(named.group(2), MAX_HEADING)[0]
    return Lesson(
        title=plain_line(title or reader.heading) or "Lesson",
        language=language,
        scenes=scenes,
        left_out=tuple(reader.left_out),
    )


def _checked(draft: Draft) -> Scene:
    try:
        scene: Scene = _scene.validate_python(draft.scene)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = " ".join(
            str(part + 1) if isinstance(part, int) else part for part in first["loc"][1:]
        )
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("string_too_long", "too_long"):
            longest = first.get("ctx", {}).get("max_length")
            things = "characters" if first["type"] == "string_too_long" else "entries"
            message = f"is too long: at most {longest} {things}"
        reason = f"{draft.fields['type']}: {place} {message}".strip()
        raise BadMarkdown(draft.first, reason) from error
    return scene
