"""The files of a finished lesson."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deployments.contract import Artifact
from deployments.generators.scene_film.settings import SETTINGS_FILE, FilmSettings
from deployments.generators.study_animation.script import SCRIPT_FILE
from models.media.encoding.base import FilmLabel
from models.media.png import ImageMetadata
from models.media.poster import encode_poster, read_frame_at
from models.media.subtitles import Cue, to_srt, to_vtt
from models.media.timeline import Timeline
from models.schemas.lesson import Lesson

FILM_FILE = "lesson.mp4"
_POSTER_AT = 0.8  # of the first scene: all of it is there


@dataclass(frozen=True)
class FinishedFilm:
    """What the film was made of; ``clips`` in the order of the scenes."""

    film: Path
    clips: tuple[Path, ...]
    lesson: Lesson
    settings: FilmSettings
    plan: Timeline
    label: FilmLabel
    seed: int


def write_outputs(done: FinishedFilm) -> list[Artifact]:
    """Write what belongs to the film beside it; everything there is, the film first."""
    folder = done.film.parent
    width, height = done.settings.size
    made = [_film(done.film, "video", width, height, done.plan.seconds)]
    cues = done.plan.cues()
    chapters = [Cue(c.start, c.end, c.title) for c in done.plan.chapters()]
    script = done.lesson.model_dump(mode="json", by_alias=True)
    texts = [
        ("lesson.srt", "subtitles", "application/x-subrip", to_srt(cues)),
        ("lesson.vtt", "subtitles", "text/vtt", to_vtt(cues)),
        ("chapters.vtt", "chapters", "text/vtt", to_vtt(chapters)),
        (SCRIPT_FILE, "script", "application/json", _json(script)),
        (SETTINGS_FILE, "settings", "application/json", _json(done.settings.model_dump())),
    ]
    for name, kind, content_type, text in texts:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        made.append(Artifact(path, kind, content_type))
    made.insert(1, _poster(done, folder / "poster.png"))
    for clip, placed in zip(done.clips, done.plan.parts, strict=True):
        made.append(_film(clip, "scene", width, height, placed.seconds))
    return made


def _film(path: Path, kind: str, width: int, height: int, seconds: float) -> Artifact:
    return Artifact(path, kind, "video/mp4", width=width, height=height, duration_s=seconds)


def _poster(done: FinishedFilm, path: Path) -> Artifact:
    frame = read_frame_at(done.clips[0], done.plan.parts[0].seconds * _POSTER_AT)
    label = ImageMetadata(
        prompt=done.label.title,
        negative_prompt="",
        seed=done.seed,
        model=done.label.model,
        steps=0,
        guidance=0.0,
    )
    path.write_bytes(encode_poster(frame, label, "png"))
    width, height = done.settings.size
    return Artifact(path, "poster", "image/png", width=width, height=height)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
