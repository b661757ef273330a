"""Turn a ``LessonOutline``, as a writer returns it, into a lesson script."""

from __future__ import annotations

import random

from deployments.generators.study_animation.fenced_blocks import as_sentences
from models.schemas.lesson import (
    BulletsScene,
    LeftOut,
    Lesson,
    QuizScene,
    Scene,
    StepsScene,
    TitleScene,
)
from models.schemas.writing import LessonOutline, LessonSection, QuizQuestion

_CHOICES = 4


def lesson_from_outline(outline: LessonOutline, language: str, most: int, seed: int) -> Lesson:
    """At most ``most`` scenes: a title, bullets and steps for each section, then quizzes.

    The choices of a quiz are the answers of the others; ``seed`` orders them.
    """
    scenes: list[Scene] = [TitleScene(title=outline.title, narration=as_sentences([outline.title]))]
    for section in outline.sections:
        scenes += _scenes(section, outline.title)
    quizzes = _quizzes(outline.quiz, seed)
    kept = scenes[: max(1, most - min(len(quizzes), 1))]
    kept += quizzes[: most - len(kept)]
    dropped = [scene for scene in (*scenes, *quizzes) if scene not in kept]
    return Lesson(
        title=outline.title,
        language=language,
        scenes=tuple(kept),
        left_out=tuple(left_out_scene(scene, "more than max_scenes") for scene in dropped),
    )


def left_out_scene(scene: Scene, reason: str) -> LeftOut:
    """What the film does without when ``scene`` is not in it."""
    shown = [
        *(getattr(scene, name, "") for name in ("title", "heading", "question")),
        *(text for name in ("bullets", "steps", "choices") for text in getattr(scene, name, ())),
    ]
    text = " / ".join(dict.fromkeys(filter(None, [*shown, scene.narration])))
    return LeftOut(lines=scene.source_lines, text=text, reason=reason)


def has_content(outline: LessonOutline) -> bool:
    """Whether there is more than the title, said once more or not."""
    title = _normalized(outline.title)
    said = (
        text for part in outline.sections for text in (part.narration, *part.bullets, *part.steps)
    )
    return any(_normalized(text) not in ("", title) for text in said)


def _normalized(text: str) -> str:
    return text.strip(" .!?…").casefold()


def _scenes(section: LessonSection, title: str) -> list[Scene]:
    scenes: list[Scene] = []
    heading = section.title if section.title != title else ""
    said = section.narration
    if section.bullets:
        text = said or as_sentences([heading, *section.bullets])
        scenes.append(BulletsScene(heading=heading, bullets=section.bullets, narration=text))
        said = ""
    if section.steps:
        text = said or as_sentences([*section.steps])
        scenes.append(StepsScene(heading=heading, steps=section.steps, narration=text))
        said = ""
    if not scenes and (said or heading):
        text = said or as_sentences([heading])
        scenes.append(TitleScene(title=section.title, narration=text))
    return scenes


def _quizzes(questions: tuple[QuizQuestion, ...], seed: int) -> list[Scene]:
    answers = list(dict.fromkeys(question.answer for question in questions))
    if len(answers) < 2:
        return []
    chance = random.Random(seed)
    scenes: list[Scene] = []
    for question in questions:
        others = [answer for answer in answers if answer != question.answer]
        choices = [*chance.sample(others, min(len(others), _CHOICES - 1)), question.answer]
        chance.shuffle(choices)
        scenes.append(
            QuizScene(
                question=question.question,
                choices=tuple(choices),
                answer=choices.index(question.answer),
                narration=as_sentences([question.question.replace("____", "…"), *choices]),
            )
        )
    return scenes
