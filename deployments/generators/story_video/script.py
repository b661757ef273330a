"""The storyboard of a job: given, kept by a lost attempt, of the earlier film, or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from deployments.contract import BadInput, Context
from deployments.generators.story_video.settings import STORYBOARD_FILE, EarlierFilm
from deployments.generators.story_video.spec import StoryRequest, max_scene_count
from deployments.generators.story_video.storyboard import Character, Scene, Storyboard
from models.memory.cache import ModelCache
from models.profiles.load import Profile
from models.schemas.writing import StoryOutline as Outline
from models.schemas.writing import StoryScene
from models.writing.json_decoding import BudgetTooSmall, SchemaNotSupported
from models.writing.writer import TextError, TextRequest, Writer, WriterResult

_MAX_NARRATION = 2000  # characters of one scene
_INSTRUCTIONS = (
    "Make a storyboard of at most {scenes} scenes, in the language {language!r}, that tells the"
    " whole story in its own words. List every character who is seen in more than one scene, each"
    " with a description of looks alone (age, skin, hair, clothes) that holds for all scenes. A"
    " scene's shot says what one picture shows: who does what, and where; its characters are those"
    " who are seen, the main one first."
)


@dataclass(frozen=True)
class Script:
    """``by`` says who wrote it: a model's name, ``given`` or ``earlier``."""

    storyboard: Storyboard
    author: str


def prepare_script(
    request: StoryRequest,
    before: EarlierFilm | None,
    context: Context,
    profile: Profile,
    model_cache: ModelCache,
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
        script = Script(Storyboard.model_validate_json(kept.read_bytes()), "lost attempt")
    else:
        script = _write(request, context, profile, model_cache, until)
    path = context.workdir / STORYBOARD_FILE
    path.write_text(script.storyboard.model_dump_json(indent=1) + "\n", encoding="utf-8")
    context.keep(path)
    for number in request.scenes or ():
        if number > len(script.storyboard.scenes):
            raise BadInput(
                f"scenes: there is no scene {number}, only {len(script.storyboard.scenes)}.",
                code="no_such_scene",
            )
    return script


def _write(
    request: StoryRequest, context: Context, profile: Profile, model_cache: ModelCache, until: float
) -> Script:
    assert request.story is not None  # the request has a source
    most = max_scene_count(request)
    wanted = TextRequest(
        instructions=_INSTRUCTIONS.format(scenes=most, language=request.language or "en"),
        source=request.story,
        schema=Outline,
        max_tokens=8192,
        seed=context.seed,
    )

    def told(done: int, budget: int) -> None:
        context.progress(until * min(done / max(budget, 1), 1.0), "writing")

    try:
        written: WriterResult = model_cache.run(
            Writer.loader(profile), lambda model: model.write(wanted, told)
        )
        outline = written.value
        assert isinstance(outline, Outline)
        return Script(storyboard_from_outline(outline, most), written.model)
    except (TextError, SchemaNotSupported, BudgetTooSmall, ValidationError) as error:
        raise BadInput(f"story: {error}.", code="cannot_be_written") from error


def storyboard_from_outline(outline: Outline, most: int) -> Storyboard:
    """``outline`` with at most ``most`` scenes, the shortest neighbours becoming one.

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
        at = min(range(len(scenes) - 1), key=lambda n: _length(scenes[n : n + 2]))
        if _length(scenes[at : at + 2]) >= _MAX_NARRATION:
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


def _length(scenes: list[StoryScene]) -> int:
    return sum(len(scene.narration) + 1 for scene in scenes)


def _merge_scenes(one: StoryScene, other: StoryScene) -> StoryScene:
    names = dict.fromkeys([*one.characters, *other.characters])
    return one.model_copy(
        update={
            "narration": f"{one.narration} {other.narration}".strip(),
            "characters": tuple(names)[:6],
            "shot": one.shot if one.characters or not other.characters else other.shot,
        }
    )
