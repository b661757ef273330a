"""Each scene as a clip of its own: laid out, drawn frame by frame, encoded; or taken as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from deployments.contract import BadInput
from deployments.generators.scene_film.clips import write_clip
from deployments.generators.study_animation.captions import SubtitleBand
from deployments.generators.study_animation.narration import SILENT, Narration, reveal_times
from deployments.generators.study_animation.settings import LessonSettings
from models.formulas.inline import plain_line
from models.media.encoding.base import FilmLabel, Frame
from models.media.probe import MediaInfo, probe
from models.media.subtitles import clip_cues, cues_from_words
from models.media.timeline import PlacedPart, TimelinePart
from models.schemas.lesson import QuizScene, Scene
from models.slides.canvas import SceneDrawing
from models.slides.errors import LessonError
from models.slides.pacing import min_scene_seconds
from models.slides.render import layout_scene
from models.text.glyphs import UnsupportedCharacters, require_glyphs
from models.typesetting.plain_text import sanitize_text


@dataclass(frozen=True, eq=False)
class FilmScene:
    """A scene on its way into the film. ``clip`` is one that is made already, ``drawing`` what a
    new one is made of."""

    number: int
    scene: Scene
    settings: LessonSettings
    pictures: Mapping[str, Image]
    clip: Path | None = None
    drawing: SceneDrawing | None = None
    narration: Narration = SILENT

    def timeline_part(self) -> TimelinePart:
        """Its place in the film's time: at least as long as its things take to appear."""
        if self.clip is not None:
            least = _seconds(probe(self.clip))
        else:
            assert self.drawing is not None  # it has one or the other
            least = min_scene_seconds(self.scene, self.drawing.beats)
        return TimelinePart(_title(self.scene), self.narration.speech, least)

    def frames(self, placed: PlacedPart) -> Iterator[NDArray[np.uint8]]:
        """Its frames, uint8 RGB, height x width x 3."""
        assert self.drawing is not None
        settings = self.settings
        beats = reveal_times(
            self.scene, self.drawing.beats, placed, self.narration, settings.language
        )
        width, _ = settings.size
        captions = None
        if self.settings.band:
            stage = self.settings.canvas()
            cues = clip_cues(cues_from_words(placed.words(), placed.seconds), placed.seconds)
            captions = SubtitleBand(cues, width, self.settings.band, stage.theme, stage.language)
        for index in range(placed.frames):
            t = float(index / placed.rate)
            frame = self.drawing.frame(t, placed.seconds, beats)
            yield captions.append_below(frame, t) if captions else frame


def lay_out(film_scene: FilmScene) -> SceneDrawing:
    """The scene ready to be drawn.

    Raises:
        BadInput: it cannot be drawn; the reason names the scene and what to change.
    """
    scene, settings = film_scene.scene, film_scene.settings
    try:
        if settings.burn_subtitles:
            require_glyphs(sanitize_text(scene.narration), "the narration, as a burned subtitle,")
        return layout_scene(scene, settings.canvas(), film_scene.pictures)
    except (LessonError, UnsupportedCharacters) as error:
        code = "no_font" if isinstance(error, UnsupportedCharacters) else "cannot_be_drawn"
        raise BadInput(f"Scene {film_scene.number} ({scene.type}): {error}.", code=code) from error


def matches_duration(scene: FilmScene, placed: PlacedPart) -> bool:
    """Whether the scene's clip is as long as the scene has to be."""
    return scene.clip is not None and probe(scene.clip).frames == placed.frames


def make_clip(
    scene: FilmScene,
    placed: PlacedPart,
    path: Path,
    label: FilmLabel,
    on_frame: Callable[[Frame], None],
) -> None:
    """Draw and encode ``scene``; ``on_frame`` is called after each frame and may raise."""
    write_clip(
        path, scene.frames(placed), placed.rate, label, lambda number, frame: on_frame(frame)
    )


def _seconds(info: MediaInfo) -> float:
    return info.frames / info.fps


def _title(scene: Scene) -> str:
    if isinstance(scene, QuizScene):
        return plain_line(scene.question)
    return plain_line(getattr(scene, "title", "") or getattr(scene, "heading", ""))
