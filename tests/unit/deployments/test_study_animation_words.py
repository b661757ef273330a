"""Whatever is written, each word is in one scene, in its order, or in the list of what is left out.

``LESSON_DOCUMENTS=10000`` tries so many documents instead of five hundred.
"""

import os
import re

from hypothesis import HealthCheck, assume, given, settings

from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from deployments.generators.study_animation.lesson_from_outline import lesson_from_outline
from deployments.generators.study_animation.topic_words import left_out_of_topic
from models.schemas.lesson import CodeScene, Lesson, Scene
from models.text.outline import extract_lesson_outline
from tests.support.documents import PICTURE, TOKEN, documents

_MARKUP = frozenset("*_`#|[]<>\\$~^{}")
_HEADER = re.compile(r"(?:^|[\r\n\ufeff])(\|[^\r\n]*)(?:\r\n?|\n)\|---", re.MULTILINE)
_NOT_SHOWN = {"type", "narration", "source_lines", "image", "heading", "header", "min_seconds"}


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [
            text for key, part in value.items() if key not in _NOT_SHOWN for text in _strings(part)
        ]
    if isinstance(value, list | tuple):
        return [text for part in value for text in _strings(part)]
    return []


def _shown(scene: Scene) -> list[str]:
    """Unique words of the scene in the order they are shown, but for headings and headers."""
    fields = scene.model_dump()
    if isinstance(scene, CodeScene):  # written above the code, as its title, and shown below it
        fields = {"caption": fields.pop("caption")} | fields
    return TOKEN.findall(" ".join(_strings(fields)))


def _above(scene: Scene) -> list[str]:
    texts = [getattr(scene, "heading", ""), getattr(scene, "title", "")]
    return TOKEN.findall(" ".join([*texts, *getattr(scene, "header", ())]))


def check(text: str, lesson: Lesson) -> None:
    words = TOKEN.findall(text)
    left = TOKEN.findall(" ".join(part.text for part in lesson.left_out))
    columns = set(TOKEN.findall(" ".join(_HEADER.findall(text))))  # said with every row
    where: dict[str, set[int]] = {}
    above: set[str] = set()
    for number, scene in enumerate(lesson.scenes):
        shown = [word for word in _shown(scene) if word not in columns]
        said = [word for word in TOKEN.findall(scene.narration) if word not in columns]
        assert shown == sorted(set(shown)), f"scene {number} shows words twice or out of order"
        assert said == sorted(set(said)), f"scene {number} says words twice or out of order"
        above.update(_above(scene))
        for word in {*_shown(scene), *TOKEN.findall(scene.narration), *_above(scene)}:
            where.setdefault(word, set()).add(number)
        assert not _MARKUP & set(scene.narration.replace("*wq", "wq").replace("$5", "5"))
        assert scene.source_lines is not None
    assert set(words) == set(where) | set(left), "words are lost"
    assert not set(where) & set(left)
    assert len(left) == len(set(left))
    for word, numbers in where.items():
        if word not in above and word not in columns:
            assert len(numbers) == 1, f"{word} is in scenes {numbers}"
    order = [min(where[word]) for word in words if word in where]
    assert order == sorted(order), "scenes are out of order"


@settings(
    max_examples=int(os.environ.get("LESSON_DOCUMENTS", "500")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(documents())
def test_no_word_of_a_document_is_lost_doubled_or_moved(text: str) -> None:
    try:
        lesson = lesson_from_markdown(text, (PICTURE,))
    except BadMarkdown as error:
        assume("nothing to show" not in str(error) and "at most 40 scenes" not in str(error))
        raise
    check(text, lesson)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_no_word_of_a_topic_is_lost_without_being_named(text: str) -> None:
    topic = text if len(text) <= 8000 else text[:8000].rpartition(" ")[0]
    lesson = lesson_from_outline(extract_lesson_outline(topic), "en", 12, seed=1)
    left = {*lesson.left_out, *left_out_of_topic(topic, lesson)}
    named = TOKEN.findall(" ".join(part.text for part in left))
    shown = TOKEN.findall(str([scene.model_dump() for scene in lesson.scenes]) + lesson.title)
    assert set(TOKEN.findall(topic)) == {*shown, *named}
