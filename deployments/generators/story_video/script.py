"""The storyboard of a job: given, kept by a lost attempt, of the earlier film, or written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from deployments.contract import BadInput, Context
from deployments.generators.common.fields import spoken_language
from deployments.generators.story_video.settings import STORYBOARD_FILE, EarlierFilm
from deployments.generators.story_video.spec import StoryRequest, max_scene_count
from deployments.generators.story_video.storyboard import Character, Scene, Storyboard
from models.inference.inference import Event
from models.inference.operations import Write
from models.schemas.writing import StoryOutline as Outline
from models.schemas.writing import StoryScene
from models.text.shorten import shorten
from models.text.story import LeftOut, read_story
from models.text.story_outline import cut_text, join_titles
from models.writing.requests import (
    BudgetTooSmall,
    SchemaNotSupported,
    TextError,
    TextRequest,
)

_MAX_NARRATION = 2000  # characters of one scene
_MAX_TITLE = 120  # characters
_LEFT_OUT_FILE = "left_out.json"
_SEPARATOR = "\n\n"  # between paragraphs
_INSTRUCTIONS = (
    "Make a storyboard of at most {scenes} scenes, in the language {language!r}, that tells the"
    " whole story in its own words. List every character who is seen in more than one scene, each"
    " with a description of looks alone (age, skin, hair, clothes) that holds for all scenes. A"
    " scene's shot says what one picture shows: who does what, and where; its characters are those"
    " who are seen, the main one first."
)


@dataclass(frozen=True)
class Script:
    """``author`` says who wrote it: a model's name, ``outline``, ``given`` or ``earlier``.
    ``left_out`` is what an outline does not tell of its story, and why."""

    storyboard: Storyboard
    author: str
    left_out: tuple[LeftOut, ...] = ()


def prepare_script(
    request: StoryRequest,
    before: EarlierFilm | None,
    context: Context,
    until: float,
) -> Script:
    """The storyboard, also as a file of the work directory that is kept for a later attempt.

    ``until`` is how far the job is then.

    Raises:
        BadInput: the story cannot be made one, or does not go with the earlier film.
    """
    if request.storyboard is not None:
        script = Script(request.storyboard, "given")
    elif before is not None:
        script = Script(before.board, "earlier")
    elif (kept := context.kept.get(STORYBOARD_FILE)) is not None:
        script = Script(
            Storyboard.model_validate_json(kept.read_bytes()), "lost attempt", _kept(context)
        )
    else:
        script = _write(request, context, until)
    path = context.workdir / STORYBOARD_FILE
    path.write_text(script.storyboard.model_dump_json(indent=1) + "\n", encoding="utf-8")
    context.keep(path)
    path = context.workdir / _LEFT_OUT_FILE
    path.write_text(json.dumps(script.left_out), encoding="utf-8")
    context.keep(path)
    for number in request.scenes or ():
        if number > len(script.storyboard.scenes):
            raise BadInput(
                f"scenes: there is no scene {number}, only {len(script.storyboard.scenes)}.",
                code="no_such_scene",
            )
    return script


def _kept(context: Context) -> tuple[LeftOut, ...]:
    """What the lost attempt left out."""
    kept = context.kept.get(_LEFT_OUT_FILE)
    return tuple(LeftOut(*entry) for entry in json.loads(kept.read_bytes())) if kept else ()


def _write(request: StoryRequest, context: Context, until: float) -> Script:
    assert request.story is not None  # the request has a source
    most = max_scene_count(request)
    language = spoken_language(request.story, request.language).language
    wanted = TextRequest(
        instructions=_INSTRUCTIONS.format(scenes=most, language=language),
        source=request.story,
        schema=Outline,
        max_tokens=8192,
        seed=context.seed,
        language=language,
    )

    def told(event: Event) -> None:
        context.progress(until * min(event.done / max(event.total, 1), 1.0), "writing")

    try:
        written = context.inference.run(Write(wanted), told)
        outline = written.value
        assert isinstance(outline, Outline)
        board = storyboard_from_outline(outline, most, language)
        left_out = read_story(request.story).left_out if written.backend == "outline" else ()
        return Script(board, written.model, left_out)
    except (TextError, SchemaNotSupported, BudgetTooSmall, ValidationError) as error:
        raise BadInput(f"story: {error}.", code="cannot_be_written") from error


def storyboard_from_outline(outline: Outline, most: int, language: str = "en") -> Storyboard:
    """``outline`` with at most ``most`` scenes, the shortest neighbours becoming one.

    Chapters stay apart as long as there are scenes to join within them. What sentences are is
    looked up for ``language``, where scenes have to be cut anew.

    Raises:
        pydantic.ValidationError: there is more to say than a film may.
    """
    people = {
        name: character.description
        for character in outline.characters
        if (name := character.name.strip())
    }
    scenes = list(outline.scenes)
    while len(scenes) > most:
        at = min(range(len(scenes) - 1), key=lambda n: _cost(scenes[n], scenes[n + 1]))
        if _length(scenes[at : at + 2]) > _MAX_NARRATION:
            scenes = _cut_anew(scenes, language)
            break
        scenes[at : at + 2] = [_merge_scenes(*scenes[at : at + 2])]
    made: list[dict[str, Any]] = [
        {
            "title": scene.title,
            "narration": scene.narration,
            "characters": [name for one in scene.characters if (name := one.strip()) in people],
            "shot": scene.shot,
            "framing": scene.framing,
        }
        for scene in scenes
    ]
    return Storyboard(
        title=outline.title,
        characters=tuple(Character(name=n, description=text) for n, text in people.items()),
        scenes=tuple(Scene.model_validate(scene) for scene in made),
    )


def _cost(one: StoryScene, other: StoryScene) -> tuple[bool, bool, int]:
    """What joining two scenes costs: that it cannot be done, a chapter's beginning, length."""
    length = _length([one, other])
    return (length > _MAX_NARRATION, _begins_chapter(one, other), length)


def _begins_chapter(one: StoryScene, other: StoryScene) -> bool:
    """Whether ``other`` has a title of its own, neither that of ``one`` nor its first words."""
    words = " ".join(other.narration.split())
    return other.title != one.title and not words.startswith(other.title.rstrip("…"))


def _length(scenes: list[StoryScene]) -> int:
    return len(_SEPARATOR.join(scene.narration for scene in scenes))


def _merge_scenes(one: StoryScene, other: StoryScene) -> StoryScene:
    names = dict.fromkeys([*one.characters, *other.characters])
    title = join_titles(one.title, other.title) if _begins_chapter(one, other) else one.title
    return one.model_copy(
        update={
            "title": shorten(title, _MAX_TITLE),
            "narration": f"{one.narration}{_SEPARATOR}{other.narration}".strip(),
            "characters": tuple(names)[:6],
            "shot": one.shot if one.characters or not other.characters else other.shot,
        }
    )


def _cut_anew(scenes: list[StoryScene], language: str) -> list[StoryScene]:
    """The same words in scenes that are as long as they may be; each takes the picture of the scene
    that it begins in, and the titles of all chapters that it tells."""
    made: list[StoryScene] = []
    rest = list(scenes)
    told = 0  # letters of rest[0] that are told already
    for text in cut_text(_SEPARATOR.join(s.narration for s in scenes), _MAX_NARRATION, language):
        scene, told = rest[0], told + _letters(text)
        titles = [scene.title]
        while len(rest) > 1 and told >= _letters(rest[0].narration):
            told -= _letters(rest[0].narration)
            before = rest.pop(0)
            if told and _begins_chapter(before, rest[0]):
                titles.append(rest[0].title)
        title = shorten(join_titles(*titles), _MAX_TITLE)
        made.append(scene.model_copy(update={"title": title, "narration": text}))
    return made


def _letters(text: str) -> int:
    return len("".join(text.split()))
