"""What a writer writes: a lesson and a storyboard. Every text and list has a bound, because a
constrained model may fill them to the last character."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Title = Annotated[str, Field(min_length=1, max_length=120)]
Line = Annotated[str, Field(min_length=1, max_length=240)]
Prose = Annotated[str, Field(max_length=2000)]
Framing = Literal["wide", "medium", "close"]


class _WriterOutput(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QuizQuestion(_WriterOutput):
    question: Line
    answer: Title


class LessonSection(_WriterOutput):
    """One scene of a lesson. ``steps`` are in order (a procedure), ``bullets`` need not be."""

    title: Title
    narration: Prose  # what the voice reads
    bullets: Annotated[tuple[Line, ...], Field(max_length=8)]
    steps: Annotated[tuple[Line, ...], Field(max_length=12)]


class LessonOutline(_WriterOutput):
    title: Title
    sections: Annotated[tuple[LessonSection, ...], Field(min_length=1, max_length=24)]
    quiz: Annotated[tuple[QuizQuestion, ...], Field(max_length=8)]


class StoryCharacter(_WriterOutput):
    name: Title
    description: Annotated[str, Field(max_length=240)]


class StoryScene(_WriterOutput):
    """``characters`` are names of the storyboard's; ``shot`` says what the picture shows."""

    title: Title
    narration: Prose
    characters: Annotated[tuple[Title, ...], Field(max_length=6)]
    shot: Line
    framing: Framing


class StoryOutline(_WriterOutput):
    title: Title
    characters: Annotated[tuple[StoryCharacter, ...], Field(max_length=12)]
    scenes: Annotated[tuple[StoryScene, ...], Field(min_length=1, max_length=24)]
