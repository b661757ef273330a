"""The files of a finished lesson, beside those of every film of scenes."""

from __future__ import annotations

import json

from deployments.contract import Artifact
from deployments.generators.scene_film.outputs import FinishedFilm, write_document, write_outputs
from deployments.generators.scene_film.settings import SETTINGS_FILE
from deployments.generators.study_animation.script import SCRIPT_FILE
from models.schemas.lesson import Lesson

FILM_FILE = "lesson.mp4"
POSTER_AT = 0.8  # of the first scene: all of it is there


def write_lesson(film: FinishedFilm, lesson: Lesson) -> list[Artifact]:
    """Write what belongs to the film beside it; everything there is, the film first."""
    folder = film.path.parent
    script = lesson.model_dump(mode="json", by_alias=True)
    return write_outputs(
        film,
        [
            write_document(folder / SCRIPT_FILE, "script", _json(script)),
            write_document(folder / SETTINGS_FILE, "settings", _json(film.settings.model_dump())),
        ],
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
