"""The files of a finished film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from deployments.contract import Artifact
from deployments.generators.story_video.settings import (
    FILM_FILE,
    RECORD_FILE,
    STORYBOARD_FILE,
    FilmRecord,
    FilmSettings,
)
from models.media.encoding.base import FilmLabel
from models.media.png import ImageMetadata
from models.media.poster import encode_poster, read_frame_at
from models.media.probe import probe
from models.media.subtitles import Cue, to_srt, to_vtt
from models.media.timeline import Timeline

_POSTER_AT = 0.6  # of the first scene: it is there, and the next has not begun


@dataclass(frozen=True)
class FinishedFilm:
    """What the film was made of; ``pictures``, ``clips`` in the order of the scenes."""

    folder: Path
    clips: tuple[Path, ...]
    pictures: tuple[Path, ...]
    characters: tuple[Path, ...]
    motions: tuple[Path, ...]
    record: FilmRecord
    settings: FilmSettings
    plan: Timeline
    label: FilmLabel
    seed: int


def storyboard_artifact(folder: Path) -> Artifact:
    return Artifact(folder / STORYBOARD_FILE, "storyboard", "application/json")


def write_outputs(done: FinishedFilm) -> list[Artifact]:
    """Write what belongs to the film beside it; everything there is, the film first."""
    folder, (width, height) = done.folder, done.settings.size
    made = [
        Artifact(
            folder / FILM_FILE, "video", "video/mp4", width, height, round(done.plan.seconds, 3)
        ),
        _poster(done),
    ]
    cues = done.plan.cues()
    chapters = [Cue(c.start, c.end, c.title) for c in done.plan.chapters()]
    texts = [
        ("story.srt", "subtitles", "application/x-subrip", to_srt(cues)),
        ("story.vtt", "subtitles", "text/vtt", to_vtt(cues)),
        ("chapters.vtt", "chapters", "text/vtt", to_vtt(chapters)),
        (RECORD_FILE, "settings", "application/json", done.record.model_dump_json(indent=1) + "\n"),
    ]
    for name, kind, content_type, text in texts:
        path = folder / name
        if text.strip():  # SubRip without a cue is an empty file, which is none
            path.write_text(text, encoding="utf-8")
            made.append(Artifact(path, kind, content_type))
    made.append(storyboard_artifact(folder))
    made += [_picture(path, "image") for path in done.pictures]
    made += [_picture(path, "character") for path in done.characters]
    for clip, placed in zip(done.clips, done.plan.parts, strict=True):
        made.append(Artifact(clip, "scene", "video/mp4", width, height, round(placed.seconds, 3)))
    return made + [_motion(path) for path in done.motions]


def _picture(path: Path, kind: str) -> Artifact:

    with Image.open(path) as image:
        return Artifact(path, kind, "image/png", width=image.width, height=image.height)


def _motion(path: Path) -> Artifact:
    found = probe(path)
    return Artifact(
        path, "motion", "video/mp4", found.width, found.height, round(found.duration, 3)
    )


def _poster(done: FinishedFilm) -> Artifact:
    frame = read_frame_at(done.clips[0], done.plan.parts[0].seconds * _POSTER_AT)
    label = ImageMetadata(
        prompt=done.label.title,
        negative_prompt="",
        seed=done.seed,
        model=done.label.model,
        steps=0,
        guidance=0.0,
    )
    path = done.folder / "poster.png"
    path.write_bytes(encode_poster(frame, label, "png"))
    width, height = done.settings.size
    return Artifact(path, "poster", "image/png", width=width, height=height)
