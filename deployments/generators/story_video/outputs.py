"""The files of a finished story, beside those of every film of scenes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from deployments.contract import Artifact
from deployments.generators.scene_film.outputs import FinishedFilm, write_document, write_outputs
from deployments.generators.scene_film.settings import SETTINGS_FILE
from deployments.generators.story_video.settings import STORYBOARD_FILE, FilmRecord
from models.media.probe import probe

POSTER_AT = 0.6  # of the first scene: it is there, and the next has not begun


@dataclass(frozen=True)
class StoryParts:
    """What a story was made of; ``pictures`` in the order of the scenes."""

    record: FilmRecord
    pictures: tuple[Path, ...]
    characters: tuple[Path, ...]
    motions: tuple[Path, ...]


def storyboard_artifact(folder: Path) -> Artifact:
    return Artifact(folder / STORYBOARD_FILE, "storyboard", "application/json")


def write_story(film: FinishedFilm, parts: StoryParts) -> list[Artifact]:
    """Write what belongs to the film beside it; everything there is, the film first."""
    folder = film.path.parent
    record = parts.record.model_dump_json(indent=1) + "\n"
    documents = [
        write_document(folder / SETTINGS_FILE, "settings", record),
        storyboard_artifact(folder),
        *_pictures(parts.pictures, "image"),
        *_pictures(parts.characters, "character"),
    ]
    return write_outputs(film, documents) + [_motion(path) for path in parts.motions]


def _pictures(paths: Iterable[Path], kind: str) -> Iterable[Artifact]:
    for path in paths:
        with Image.open(path) as image:
            yield Artifact(path, kind, "image/png", width=image.width, height=image.height)


def _motion(path: Path) -> Artifact:
    found = probe(path)
    return Artifact(
        path, "motion", "video/mp4", found.width, found.height, round(found.duration, 3)
    )
