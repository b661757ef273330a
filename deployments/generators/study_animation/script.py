"""The script of a lesson: given, read from Markdown, or written from a topic."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from deployments.contract import BadInput, Context, EarlierJob
from deployments.generators.study_animation.lesson_from_outline import (
    has_content,
    lesson_from_outline,
)
from deployments.generators.study_animation.spec import (
    StudyRequest,
    lesson_language,
    script_from_request,
)
from deployments.generators.study_animation.topic_words import left_out_of_topic
from models.inference.inference import Event
from models.inference.operations import Write
from models.schemas.lesson import Lesson
from models.schemas.writing import LessonOutline
from models.writing.requests import (
    BudgetTooSmall,
    SchemaNotSupported,
    TextError,
    TextRequest,
)

SCRIPT_FILE = "script.json"
_WRITTEN_FILE = "written.json"
_LEVELS = {
    "beginner": "somebody who hears of it for the first time: everyday words, no formulas",
    "intermediate": "a learner who knows the basics",
    "advanced": "a learner who knows the field: precise terms, details",
}


class Script(NamedTuple):
    """A lesson, and its ``author``: ``given``, ``earlier``, ``markdown``, ``outline``, or the name
    of the language model that wrote it.
    """

    lesson: Lesson
    author: str


class _Written(BaseModel):
    """A script that took a model to write, kept for a later attempt."""

    by: str
    lesson: Lesson

    def script(self) -> Script:
        return Script(self.lesson, self.by)


def prepare_script(request: StudyRequest, context: Context) -> Script:
    """The lesson to film: the given one, one kept by a lost attempt, an earlier job's, or a new
    one.

    Raises:
        BadInput: it cannot be had; the reason says what to change.
    """
    if request.earlier is not None:
        before = _earlier_script(context.earlier[request.earlier])
        return Script(
            _merge_with_earlier(request, before), "given" if request.lesson else "earlier"
        )
    lesson = script_from_request(request)
    if lesson is not None:
        lesson = lesson.model_copy(update={"language": lesson_language(request).language})
        return Script(lesson, "markdown" if request.markdown is not None else "given")
    if (kept := context.kept.get(_WRITTEN_FILE)) is not None:
        return _Written.model_validate_json(kept.read_bytes()).script()
    assert request.topic is not None  # the request has exactly one source
    script = _write(request, request.topic, context)
    path = context.workdir / _WRITTEN_FILE
    path.write_text(_Written(by=script.author, lesson=script.lesson).model_dump_json(by_alias=True))
    context.keep(path)
    return script


def _earlier_script(earlier: EarlierJob) -> Lesson:
    try:
        return Lesson.model_validate_json(earlier.files[SCRIPT_FILE].read_bytes())
    except (KeyError, OSError, ValidationError) as error:
        raise BadInput(
            "earlier: this job is no study_animation whose files are still there.",
            code="not_a_lesson",
        ) from error


def _merge_with_earlier(request: StudyRequest, before: Lesson) -> Lesson:
    lesson = request.lesson or before
    if len(lesson.scenes) != len(before.scenes):
        raise BadInput(
            f"lesson: it has {len(lesson.scenes)} scenes and the earlier film {len(before.scenes)};"
            " make the whole lesson anew.",
            code="does_not_fit_earlier",
        )
    if max(request.scenes) > len(lesson.scenes):
        raise BadInput(
            f"scenes: there is no scene {max(request.scenes)}, only {len(lesson.scenes)}.",
            code="no_such_scene",
        )
    for number, (new, old) in enumerate(zip(lesson.scenes, before.scenes, strict=True), start=1):
        if new != old and number not in request.scenes:
            raise BadInput(
                f"scenes: scene {number} differs from the earlier film's; name it too.",
                code="does_not_fit_earlier",
            )
    return lesson


def _write(request: StudyRequest, topic: str, context: Context) -> Script:
    language = lesson_language(request).language
    wanted = TextRequest(
        instructions=(
            f"Write a lesson of at most {request.max_scenes} scenes and {request.max_seconds}"
            f" seconds (about {round(request.max_seconds * 2.2)} spoken words) for"
            f" {_LEVELS[request.level]}. Write it in the language {language!r}. Each section has a"
            " narration to be read aloud, and short bullets or steps that it mentions."
        ),
        source=topic,
        schema=LessonOutline,
        seed=context.seed,
    )

    def told(event: Event) -> None:
        context.progress(0.04 * min(event.done / max(event.total, 1), 1.0), "writing")

    try:
        written = context.inference.run(Write(wanted), told)
    except (TextError, SchemaNotSupported, BudgetTooSmall) as error:
        raise BadInput(f"topic: {error}.", code="cannot_be_written") from error
    outline = written.value
    assert isinstance(outline, LessonOutline)
    if not has_content(outline):
        raise BadInput(
            "topic: the installed profile has no language model, so it can only arrange what the"
            " text says. Give some sentences about the topic, or Markdown, or a lesson.",
            code="needs_language_model",
        )
    lesson = lesson_from_outline(outline, language, request.max_scenes, context.seed)
    if written.backend == "outline":  # its words are the topic's: what is missing is known
        left_out = (*lesson.left_out, *left_out_of_topic(topic, lesson))
        lesson = lesson.model_copy(update={"left_out": left_out})
    return Script(lesson, written.model)
