"""The files of a finished film: itself, its poster, its subtitles and chapters, its clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.contract import Artifact
from deployments.generators.scene_film.settings import FilmSettings
from models.media.encoding.base import FilmLabel
from models.media.png import ImageMetadata
from models.media.poster import encode_poster, read_frame_at
from models.media.subtitles import Cue, to_srt, to_vtt
from models.media.timeline import Timeline


@dataclass(frozen=True)
class FinishedFilm:
    """A film that was joined of ``clips``, which are in the order of the scenes.

    ``poster_at`` is the share of the first scene after which the poster shows it.
    """

    path: Path
    clips: tuple[Path, ...]
    settings: FilmSettings
    plan: Timeline
    label: FilmLabel
    seed: int
    poster_at: float


def write_outputs(film: FinishedFilm, documents: Sequence[Artifact]) -> list[Artifact]:
    """Write what belongs to the film beside it; everything there is, the film first.

    ``documents`` are what its generator wrote itself; they come before the clips.
    """
    folder, name = film.path.parent, film.path.stem
    cues = film.plan.cues()
    chapters = [Cue(c.start, c.end, c.title) for c in film.plan.chapters()]
    texts = [
        ("subtitles", folder / f"{name}.srt", "application/x-subrip", to_srt(cues)),
        ("subtitles", folder / f"{name}.vtt", "text/vtt", to_vtt(cues)),
        ("chapters", folder / "chapters.vtt", "text/vtt", to_vtt(chapters)),
    ]
    return [
        _film(film.path, "video", film.settings, film.plan.seconds),
        _poster(film, folder / "poster.png"),
        # SubRip without a cue is an empty file, which is none.
        *(
            write_document(path, kind, text, content_type)
            for kind, path, content_type, text in texts
            if text.strip()
        ),
        *documents,
        *(
            _film(clip, "scene", film.settings, placed.seconds)
            for clip, placed in zip(film.clips, film.plan.parts, strict=True)
        ),
    ]


def write_document(
    path: Path, kind: str, text: str, content_type: str = "application/json"
) -> Artifact:
    path.write_text(text, encoding="utf-8")
    return Artifact(path, kind, content_type)


def _film(path: Path, kind: str, settings: FilmSettings, seconds: float) -> Artifact:
    return Artifact(path, kind, "video/mp4", *settings.size, duration_s=round(seconds, 3))


def _poster(film: FinishedFilm, path: Path) -> Artifact:
    frame = read_frame_at(film.clips[0], film.plan.parts[0].seconds * film.poster_at)
    label = ImageMetadata(
        prompt=film.label.title,
        negative_prompt="",
        seed=film.seed,
        model=film.label.model,
        steps=0,
        guidance=0.0,
    )
    path.write_bytes(encode_poster(frame, label, "png"))
    return Artifact(path, "poster", "image/png", *film.settings.size)
