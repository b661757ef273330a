"""What a story may ask for, and what it costs."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.contract import BadInput
from deployments.generators.story_video.filming import check_subtitles
from deployments.generators.story_video.script import storyboard_from_outline
from deployments.generators.story_video.settings import resolve_settings
from deployments.generators.story_video.spec import SPEC, StoryRequest, max_scene_count
from deployments.generators.story_video.storyboard import Storyboard
from models.text.story_outline import extract_story_outline as outlined

JOB = "job_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"
PERSONA = "per_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"
PICTURE = {"url": "https://example.com/mira.png"}
SCENE = {"narration": "Mira lit the lamp.", "characters": ["Mira"], "shot": "Mira at the beach"}


def board(*scenes: dict[str, Any], **mira: Any) -> dict[str, Any]:
    return {
        "title": "The lamp",
        "characters": [{"name": "Mira", "description": "a woman with red hair"} | mira],
        "scenes": list(scenes or (SCENE,)),
    }


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "exactly one"),
        ({"story": "Once.", "storyboard": board()}, "exactly one"),
        ({"story": "Once.", "scenes": [1]}, "name earlier"),
        ({"story": "Once.", "earlier": JOB}, "no story"),
        ({"earlier": JOB, "only": "storyboard"}, "only"),
        ({"earlier": JOB, "scenes": [2, 2]}, "twice"),
        ({"earlier": JOB, "scenes": [2], "storyboard": board()}, "no scene 2"),
        ({"story": "Once. " * 2000, "max_scenes": 3}, "max_scenes"),
        ({"storyboard": board(SCENE | {"characters": ["Tom"]})}, "'Tom'"),
        ({"storyboard": board(SCENE | {"characters": ["{x}"]})}, "{x}"),
        ({"storyboard": board(persona_id=PERSONA, reference=PICTURE, consent=True)}, "not both"),
        ({"storyboard": board(reference=PICTURE)}, "consent"),
        ({"storyboard": board(*[SCENE | {"narration": "a" * 1900}] * 11)}, "20000"),
        ({"story": "Once.", "music": {"style": "calm", "audio": PICTURE}}, "not both"),
        ({"story": "x" * 20_001}, "at most 20000"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(
    given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        StoryRequest.model_validate(given)
    assert reason in str(refused.value)


def cost(**given: Any) -> int:
    return SPEC.quote(StoryRequest.model_validate(given))


def test_more_work_costs_more() -> None:
    story = "Mira walked along the beach and lit the lamp. "
    ladders: list[list[dict[str, Any]]] = [
        [{"story": story * n} for n in (1, 5, 20, 80, 300)],
        [{"story": story * 60, "max_scenes": n} for n in (2, 6, 24)],
        [{"story": story * 60, "resolution": r} for r in ("480p", "720p", "1080p")],
        [{"story": story * 20, "motion": m} for m in ("camera", "generated")],
        [{"story": story * 20, "steps": n} for n in (30, 60, 100)],
        [{"story": story * 20, "fps": n} for n in (30, 60)],
        [{"story": story * 60, "speed": s} for s in (2.0, 1.0, 0.5)],
        [{"storyboard": board(*[SCENE] * n)} for n in (1, 4, 24)],
        [{"storyboard": board(SCENE | {"seconds": s})} for s in (5, 31, 60)],
        [{"earlier": JOB, "scenes": list(range(1, n))} for n in (1, 3, 9)],
    ]
    for ladder in ladders:
        costs = [cost(**step) for step in ladder]
        assert costs == sorted(costs) and costs[0] < costs[-1], ladder[0].keys()
        assert costs[0] >= 1


def test_a_storyboard_alone_is_cheap_and_a_character_with_a_face_is_cheaper() -> None:
    story = "Mira walked along the beach. " * 30
    assert cost(story=story, only="storyboard") == 1 < cost(story=story)
    assert cost(storyboard=board(persona_id=PERSONA)) == cost(storyboard=board()) - 3


def test_no_more_scenes_are_made_than_are_paid_for() -> None:
    cut = "\n\n***\n\n".join(f"Part {n}." for n in range(12))
    request = StoryRequest.model_validate({"story": cut})
    made = storyboard_from_outline(outlined(cut), max_scene_count(request))
    assert len(made.scenes) == max_scene_count(request) == 2
    assert "Part 0." in made.scenes[0].narration and "Part 11." in made.scenes[-1].narration


def test_a_long_story_loses_nothing_when_its_scenes_are_joined() -> None:
    story = "\n\n".join(f"Word{n} and " + "so on and " * 40 + "on." for n in range(40))
    request = StoryRequest.model_validate({"story": story})
    made = storyboard_from_outline(outlined(story), max_scene_count(request))
    told = " ".join(scene.narration for scene in made.scenes)
    assert all(f"Word{n} " in told for n in range(40))


@pytest.mark.parametrize(
    "story", ["🎉🎉🎉", "في قديم الزمان كانت ليلى.", "昔々、ミラがいた。", "...", "**"]
)
def test_any_text_becomes_a_storyboard(story: str) -> None:
    request = StoryRequest.model_validate({"story": story})
    made = storyboard_from_outline(outlined(request.story or ""), max_scene_count(request))
    assert Storyboard.model_validate_json(made.model_dump_json()) == made


CHINESE = "灯塔\n\n从前，有一个红头发的女人叫米拉。每天晚上，米拉都会点亮海边的灯。"


@pytest.mark.parametrize(
    ("given", "language"),
    [
        ({"story": CHINESE}, "zh"),
        ({"story": CHINESE, "voice": "cmn"}, "zh"),
        ({"story": "Mira lit the lamp."}, "en"),
        ({"story": "La llave", "language": "es"}, "es"),
        ({"storyboard": board(SCENE | {"narration": CHINESE})}, "zh"),
    ],
)
def test_the_voice_follows_the_language_of_the_text(given: dict[str, Any], language: str) -> None:
    request = StoryRequest.model_validate(given)
    assert resolve_settings(request, None).language == language


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"story": CHINESE, "language": "en"}, "language", '"language": "zh"'),
        ({"story": "灯塔"}, "language", '"language": "zh"'),
        ({"story": "កំពង់ផែ"}, "language", "no installed voice"),
        ({"story": "Once.", "language": "tlh"}, "language", "No installed voice"),
        ({"story": CHINESE, "voice": "en-us+f3"}, "voice", "does not speak"),
        ({"earlier": JOB, "language": "zh", "storyboard": board()}, "language", '"en"'),
    ],
)
def test_what_no_voice_can_read_is_refused_when_it_is_sent(
    given: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        StoryRequest.model_validate(given)
    [error] = refused.value.errors()
    assert error["loc"] == (field,) and words in error["msg"]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        (
            {"storyboard": board(SCENE, SCENE | {"narration": "Hello \U00013000."})},
            ("storyboard", "scenes", 1, "narration"),
            "the narration of scene 2, as a burned subtitle: no font here has",
        ),
        ({"story": "Once.\n\nThere was \u16a0."}, ("story",), "story, line 3, as a burned"),
    ],
)
def test_subtitles_without_letters_are_refused_when_they_are_sent(
    given: dict[str, Any], place: tuple[str | int, ...], words: str
) -> None:
    assert StoryRequest.model_validate(given)  # nothing is drawn of them
    with pytest.raises(ValidationError) as refused:
        StoryRequest.model_validate(given | {"burn_subtitles": True})
    [error] = refused.value.errors()
    assert error["loc"] == place and words in error["msg"] and "(U+1" in error["msg"]


def test_what_no_subtitle_shows_needs_no_font() -> None:
    story = "Once upon a time.\n\n\u2042\n\nThe e\u0301nd, \u2066really\u2069\u200d."
    assert StoryRequest.model_validate({"story": story, "burn_subtitles": True})


def test_subtitles_of_an_earlier_film_are_checked_before_it_is_drawn() -> None:
    request = StoryRequest.model_validate({"story": "Once.", "burn_subtitles": True})
    earlier = Storyboard.model_validate(board(SCENE | {"narration": "Hello \U00013000."}))
    with pytest.raises(BadInput) as refused:
        check_subtitles(earlier, resolve_settings(request, None))
    assert refused.value.code == "no_font"
