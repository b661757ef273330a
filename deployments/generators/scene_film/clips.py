"""The clips of which a film is joined, one for each scene: written, or taken over as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

from deployments.generators.scene_film.settings import FilmSettings
from models.media.encoding.base import FilmLabel, FilmSpec, Frame
from models.media.encoding.open import open_film
from models.media.encoding.threads import encode_in_thread
from models.media.languages import iso639_2_code
from models.media.probe import UnreadableVideo, probe
from models.media.sound import Sound
from models.media.timeline import Timeline

CRF = 20


def clip_file_name(number: int) -> str:
    """The file of scene ``number``, counted from 1."""
    return f"scene-{number:02}.mp4"


def write_clip(
    path: Path,
    frames: Iterable[Frame],
    rate: int | Fraction,
    label: FilmLabel,
    on_frame: Callable[[int, Frame], None],
) -> None:
    """Encode ``frames`` while they are drawn; ``on_frame`` is called after each and may raise."""
    with open_film(path, FilmSpec(rate, label, crf=CRF)) as film:
        encode_in_thread(frames, film, on_frame)


def clip_fits(clip: Path, settings: FilmSettings, frames: int | None = None) -> bool:
    """Whether ``clip`` is a film of the wanted size and rate, and of so many ``frames``."""
    try:
        found = probe(clip)
    except UnreadableVideo:
        return False
    fits = (found.width, found.height) == settings.size and found.fps == settings.fps
    return fits and frames in (None, found.frames)


def copy_clip(clip: Path, path: Path) -> None:
    """The clip as a file of the work directory, byte for byte."""
    if clip != path:
        shutil.copyfile(clip, path)


def joined_film_spec(
    plan: Timeline, label: FilmLabel, settings: FilmSettings, sound: Sound | None
) -> FilmSpec:
    """Of the film that joins the clips: with its sound, subtitles and chapters."""
    return FilmSpec(
        plan.rate,
        label,
        sound=sound,
        subtitles=plan.cues(),
        chapters=plan.chapters(),
        language=iso639_2_code(settings.language),
    )
