"""Lessons: the voice follows the language of the text, and what it cannot read is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.generators.study_animation.spec import StudyRequest, lesson_language

HEBREW = "# השמש והירח\n\n- הטמפרטורה היא 5,500 מעלות\n- NASA שלחה חללית בשנת 2018"
CHINESE = "# 光合作用\n\n- 植物把光变成糖\n- 它需要水"


def lesson(narration: str, **declared: str) -> dict[str, Any]:
    scene = {"type": "title", "title": "1", "narration": narration}
    return {"lesson": {"title": "1", "scenes": [scene]} | declared}


@pytest.mark.parametrize(
    ("given", "language"),
    [
        ({"markdown": HEBREW}, "he"),
        ({"markdown": CHINESE}, "zh"),
        ({"markdown": "# Water\n\n- It flows"}, "en"),
        ({"markdown": "# Wasser\n\n- Es fließt", "language": "de"}, "de"),
        ({"topic": "Photosynthesis"}, "en"),
        ({"topic": "Photosynthesis and light", "language": "zh"}, "zh"),  # a model writes Chinese
        (lesson("植物把光变成糖，它需要水。"), "zh"),
        (lesson("Sie fließt.", language="de"), "de"),
    ],
)
def test_the_voice_follows_the_text(given: dict[str, Any], language: str) -> None:
    assert lesson_language(StudyRequest.model_validate(given)).language == language


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"markdown": CHINESE, "language": "en"}, "language"),
        ({"markdown": CHINESE, "voice": "en-us"}, "voice"),
        ({"markdown": "# Water\n\n- It flows downhill", "language": "he"}, "language"),
        ({"topic": "光合"}, "language"),
        (lesson("Hello", language="tlh"), "language"),
    ],
)
def test_what_no_voice_can_read_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        StudyRequest.model_validate(given)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
