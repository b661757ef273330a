"""What the lesson generator takes and costs."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request, Seed
from deployments.generators.common.fields import (
    Fps,
    Language,
    Part,
    Resolution,
    Speed,
    Voice,
    check_speech,
    error_at,
    fps_field,
    resolution_field,
    speed_field,
    spoken_language,
    voice_field,
)
from deployments.generators.study_animation import duration
from deployments.generators.study_animation.fenced_blocks import BadMarkdown
from deployments.generators.study_animation.glyph_checks import check_glyphs
from deployments.generators.study_animation.lesson_from_markdown import lesson_from_markdown
from deployments.references import ImageInput, JobId
from models.formulas.errors import FormulaError
from models.schemas.lesson import MAX_SCENES, Aspect, Lesson, PictureScene, ThemeName
from models.text.glyphs import UnsupportedCharacters
from models.text.languages import Detected, LanguageUnclear

Level = Literal["beginner", "intermediate", "advanced"]
TOPIC = StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)
MARKDOWN = StringConstraints(min_length=1, max_length=20_000)
SceneNumber = Annotated[int, Field(ge=1, le=MAX_SCENES)]

DEFAULT_RESOLUTION: Resolution = "720p"
DEFAULT_FPS = 24
MAX_SECONDS = 1200  # of a film, by the estimate that it is accepted and priced by
LONGEST_FILM_SECONDS = 1800  # when it is made: what was accepted is not refused by a slow voice
CREDITS = {"360p": 1, "480p": 1, "720p": 2, "1080p": 4}  # for each started half minute
PART_SECONDS = 30
_FORMULA_MARKS = re.compile(r"\$|\\\(")
REDONE_SCENE_SECONDS = 30  # where the script, and so the scene's length, is the earlier job's


class NamedPicture(Part):
    """A picture for the picture scenes that name it."""

    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,64}$", max_length=64)] = Field(
        description="What scenes call it; letters, digits, '_', '-' and '.'.", examples=["leaf"]
    )
    image: ImageInput = Field(
        description="The picture.",
        examples=[{"file_id": "file_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"}],
    )


class StudyRequest(Request):
    """Exactly one of ``topic``, ``markdown`` and ``lesson``; or ``earlier`` with ``scenes``, alone
    or with the changed ``lesson``."""

    topic: Annotated[str, TOPIC] | None = Field(
        default=None,
        description="What the lesson is about, or a text to make it from. Without a language model"
        " (the tiny profile) the script is drawn from the text itself, so it has to say something.",
        examples=["How a leaf makes sugar from light, water and air"],
    )
    markdown: Annotated[str, MARKDOWN] | None = Field(
        default=None,
        description="A document whose headings, lists, tables, quotes, code, pictures, $$formulas$$"
        " and ```plot, ```diagram and ```quiz blocks become scenes; its paragraphs are what the"
        " voice says. Every word is in the film, or in the script's left_out.",
        examples=["# Squares\n\nA square has four equal sides.\n\n- All sides are equal"],
    )
    lesson: Lesson | None = Field(
        default=None,
        description="The script itself; what script.json of an earlier job holds, edited or not.",
        examples=[{"title": "Squares", "scenes": [{"type": "title", "title": "Squares"}]}],
    )
    level: Level = Field(
        default="intermediate",
        description="Whom a script that is written from a topic is for.",
        examples=["beginner"],
    )
    language: Language | None = Field(
        default=None,
        description="BCP 47 tag of text and voice; by default the script's. Left out: the text's"
        " own, where its script or its words tell it clearly; English, where a text in Latin"
        " letters is short or unclear; otherwise the request is refused.",
        examples=["en"],
    )
    voice: Voice | None = voice_field("en-us+f3")
    speed: Speed | None = speed_field()
    theme: ThemeName | None = Field(
        default=None, description="Colours and type; by default light.", examples=["chalkboard"]
    )
    aspect: Aspect | None = Field(
        default=None, description="Shape of the frame; by default 16:9.", examples=["16:9"]
    )
    resolution: Resolution | None = resolution_field(DEFAULT_RESOLUTION, "480p")
    fps: Fps | None = fps_field(DEFAULT_FPS)
    max_scenes: int = Field(
        default=12,
        ge=1,
        le=MAX_SCENES,
        description="At most so many scenes are written from a topic.",
        examples=[6],
    )
    max_seconds: int = Field(
        default=180,
        ge=10,
        le=MAX_SECONDS,
        description="How long a lesson written from a topic may be; others may take 20 minutes.",
        examples=[60],
    )
    burn_subtitles: bool | None = Field(
        default=None,
        description="Whether subtitles are also drawn, in a band of their own below the scenes.",
        examples=[False],
    )
    pictures: tuple[NamedPicture, ...] = Field(
        default=(),
        max_length=20,
        description="What the picture scenes show, by name.",
        examples=[[]],
    )
    earlier: JobId | None = Field(
        default=None,
        description="A finished lesson, some scenes of which are to be made anew. What is left out"
        " of the request is taken from it.",
        examples=[None],
    )
    scenes: tuple[SceneNumber, ...] = Field(
        default=(),
        max_length=MAX_SCENES,
        description="With earlier: the scenes to make anew, counted from 1; the others stay.",
        examples=[[]],
    )
    seed: Seed | None = Field(
        default=None,
        description="Of a script that a language model writes. Random if left out.",
        examples=[7],
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [
            name for name in ("topic", "markdown", "lesson") if getattr(self, name) is not None
        ]
        if self.earlier is not None:
            if given not in ([], ["lesson"]):
                raise lesson_error("With earlier, give the changed lesson or no script at all")
            if not self.scenes:
                raise lesson_error("Say in scenes which scenes of the earlier lesson to make anew")
        elif len(given) != 1:
            raise lesson_error("Give exactly one of topic, markdown and lesson")
        elif self.scenes:
            raise lesson_error(
                "scenes is for making some scenes of an earlier lesson anew: name earlier"
            )
        if len(set(self.scenes)) < len(self.scenes):
            raise lesson_error("scenes names a scene twice")
        names = [picture.name for picture in self.pictures]
        if len(set(names)) < len(names):
            raise lesson_error("two pictures have the same name")
        return self

    @model_validator(mode="after")
    def _readable_markdown(self) -> Self:
        if self.markdown is not None:
            try:
                lesson = script_from_request(self)
                assert lesson is not None
                check_length(lesson, self.speed or 1.0)
            except BadMarkdown as error:
                raise error_at(("markdown",), lesson_error(f"markdown, {error}")) from error
        return self

    @model_validator(mode="after")
    def _can_be_spoken(self) -> Self:
        if self.earlier is None:
            check_speech(_spoken_text(self), _declared_language(self), self.voice)
        return self

    @model_validator(mode="after")
    def _can_be_shown(self) -> Self:
        lesson = script_from_request(self)
        for number, scene in enumerate(lesson.scenes if lesson else (), start=1):
            if self.earlier is not None and number not in self.scenes:
                continue
            try:
                check_glyphs(scene, burn_subtitles=bool(self.burn_subtitles))
            except (UnsupportedCharacters, FormulaError) as error:
                if self.markdown is None:
                    loc = ("lesson", "scenes", number - 1)
                    raise error_at(loc, lesson_error(f"lesson, scene {number}: {error}")) from error
                first = (scene.source_lines or (1, 1))[0]
                message = f"markdown, line {first}: {error}"
                raise error_at(("markdown",), lesson_error(message)) from error
        return self

    @model_validator(mode="after")
    def _makeable_lesson(self) -> Self:
        if self.lesson is None:
            return self
        for number, scene in enumerate(self.lesson.scenes, start=1):
            drawn = self.earlier is None or number in self.scenes
            if drawn and isinstance(scene, PictureScene) and scene.image not in _names(self):
                given = ", ".join(_names(self)) or "none"
                raise error_at(
                    ("lesson", "scenes", number - 1, "picture", "image"),
                    lesson_error(
                        f"lesson, scene {number}: there is no picture {scene.image!r}: send it in"
                        f" pictures under that name; given are {given}"
                    ),
                )
        if self.earlier is None:
            try:
                check_length(self.lesson, self.speed or 1.0)
            except BadMarkdown as error:
                raise error_at(("lesson",), lesson_error(f"lesson, {error}")) from error
        return self


def lesson_language(request: StudyRequest) -> Detected:
    """The language of text and voice: the declared one, else that of the text."""
    return spoken_language(_spoken_text(request), _declared_language(request))


def _declared_language(request: StudyRequest) -> str | None:
    if request.language is None and request.lesson is not None:
        declared = "language" in request.lesson.model_fields_set
        return request.lesson.language if declared else None
    return request.language


def _spoken_text(request: StudyRequest) -> str:
    """The words that tell the language. A topic may be written about in any."""
    if request.lesson is not None:
        said = (scene.narration for scene in request.lesson.scenes)
        return "\n\n".join([request.lesson.title, *said])
    if request.topic is not None:
        return request.topic if request.language is None else ""
    return request.markdown or ""


def _names(request: StudyRequest) -> tuple[str, ...]:
    return tuple(picture.name for picture in request.pictures)


def check_length(lesson: Lesson, speed: float) -> None:
    """Check that the film of ``lesson`` is about as long as is allowed, at most.

    Raises:
        BadMarkdown: it is longer; the message names where the time is over.
    """
    seconds = 0.0
    for number, scene in enumerate(lesson.scenes, start=1):
        seconds += duration.scene_seconds(scene, speed)
        if seconds > MAX_SECONDS:
            reason = f"the film would be longer than {MAX_SECONDS // 60} minutes: make two of it"
            if scene.source_lines is None:
                raise BadMarkdown(number, reason, place="scene")
            raise BadMarkdown(scene.source_lines[0], reason)


def lesson_error(message: str) -> PydanticCustomError:
    # The message is ours, but quotes the sender's text: braces in it are no placeholders.
    context: dict[str, Any] = {"reason": message}
    return PydanticCustomError("lesson_input", "{reason}", context)


def script_from_request(request: StudyRequest) -> Lesson | None:
    """The script, where the request alone says it."""
    if request.markdown is not None:
        return lesson_from_markdown(request.markdown, _names(request), _reading_language(request))
    return request.lesson


def _reading_language(request: StudyRequest) -> str:
    """The language that formulas in sentences are read in; any, where there are none."""
    if not _FORMULA_MARKS.search(request.markdown or ""):
        return "en"
    try:
        return lesson_language(request).language
    except LanguageUnclear:  # the request will be refused for it
        return "en"


def price(request: StudyRequest) -> list[PriceLine]:
    """Each started half minute of film, by its resolution; twice beyond 30 frames a second.

    The length is estimated from what is said and shown, for a topic it is ``max_seconds``. Of a
    film that is made anew only the new scenes count.
    """
    half_minutes = max(1, math.ceil(_seconds(request) / PART_SECONDS))
    resolution = request.resolution or DEFAULT_RESOLUTION
    credits = CREDITS[resolution] * half_minutes
    lines = [PriceLine(f"half minutes of film at {resolution}", half_minutes, credits)]
    if (request.fps or DEFAULT_FPS) > 30:
        lines.append(PriceLine("half minutes at more than 30 fps", half_minutes, credits))
    return lines


def _seconds(request: StudyRequest) -> float:
    lesson, speed = script_from_request(request), request.speed or 1.0
    if request.earlier is not None:
        count = len(request.scenes)
        if lesson is None:
            return REDONE_SCENE_SECONDS * count
        new = (n for n in request.scenes if n <= len(lesson.scenes))
        return sum(duration.scene_seconds(lesson.scenes[n - 1], speed) for n in new)
    return (
        duration.lesson_seconds(lesson, speed) if lesson is not None else float(request.max_seconds)
    )


SPEC = GeneratorSpec(
    name="study_animation",
    title="Study animation",
    description="Makes a narrated, animated lesson film from a topic, a document or a script.",
    request=StudyRequest,
    price=price,
    price_version="study_animation-1",
    entry="deployments.generators.study_animation.generator:StudyAnimationGenerator",
    expected_seconds=60.0,
    max_seconds=3600.0,
    concurrency=2,
)
