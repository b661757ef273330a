"""Each scene as a clip of its own: its picture under the camera, the way it takes over from the
scene before, its subtitles; drawn frame by frame while the encoder works, or taken as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deployments.contract import BadInput
from deployments.generators.story_video.settings import StorySettings
from deployments.generators.story_video.storyboard import Scene, Storyboard
from models.media.camera.ken_burns import (
    CropPath,
    PictureGeometry,
    Pixels,
    StillCamera,
    crop_view,
    default_move,
    plan_crop_path,
)
from models.media.camera.transitions import (
    ENDING_SECONDS,
    TRANSITION_SECONDS,
    fade_out_frame,
    transition_frame,
)
from models.media.probe import probe, read_frames
from models.media.subtitles import Cue, clip_cues, cues_from_words
from models.media.timeline import PlacedPart
from models.storyfilm.blurred_sides import with_blurred_sides
from models.storyfilm.loop_clip import LoopedClip
from models.storyfilm.prompts.base import FacePlacement
from models.text.glyphs import UnsupportedCharacters, require_glyphs
from models.typesetting.plain_text import sanitize_text
from models.typesetting.subtitle_overlay import SubtitleOverlay
from models.typesetting.typeset import Paragraph, TypesetterMissing, typeset

_VERSION = 1  # of how clips are drawn: another one, and none of an earlier film is taken over


@dataclass(frozen=True, eq=False)
class SceneClip:
    """Everything the clip of scene ``number`` is made from.

    ``image`` is its picture, large enough to be filmed, ``file`` as it was drawn; ``motion`` a film
    of what moves in it.
    """

    number: int
    scene: Scene
    placed: PlacedPart
    settings: StorySettings
    face_placement: FacePlacement
    image: Image.Image
    file: Path
    motion: Path | None = None
    last: bool = False

    def frames(self, before: SceneClip | None) -> Iterator[Pixels]:
        """Its frames, uint8 RGB; ``before`` is the scene it takes over from."""
        seen, kind = self._frame_at(), self.scene.transition
        over = TRANSITION_SECONDS[kind]
        gone = before._frame_at() if before is not None and over else None
        texts = _overlay(self)
        for index in range(self.placed.frames):
            t = float(index / self.placed.rate)
            frame = seen(t)
            if t < over:
                was = gone(before.placed.seconds + t) if gone and before else None
                share = (index + 1) / (over * float(self.placed.rate) + 1)
                frame = transition_frame(kind, was, frame, share)
            else:
                gone = None  # the frames it holds are let go
            if self.last and (left := self.placed.seconds - t) < ENDING_SECONDS:
                frame = fade_out_frame(frame, 1 - left / ENDING_SECONDS + 1 / self.settings.fps)
            yield texts.draw_on(frame, t) if texts is not None else frame

    def fingerprint(self, before: SceneClip | None) -> str:
        """The same for clips that show the same."""
        made_of: list[Any] = [_VERSION, self._fingerprint_parts, self.scene.transition, self.last]
        if before is not None and TRANSITION_SECONDS[self.scene.transition]:
            made_of.append(before._fingerprint_parts)
        if self.settings.burn_subtitles:
            made_of += [[asdict(cue) for cue in self.cues()], self.settings.language]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def cues(self) -> list[Cue]:
        """Its subtitles, in seconds since it began."""
        seconds = self.placed.seconds
        return clip_cues(cues_from_words(self.placed.words(), seconds), seconds)

    @cached_property
    def _fingerprint_parts(self) -> list[Any]:
        """What decides on the bare frames."""
        files = [self.file] + ([self.motion] if self.motion is not None else [])
        return [
            *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files),
            self.settings.size,
            self.settings.fps,
            self.placed.frames,
            self.scene.motion,
            self.scene.framing,
            asdict(self.face_placement),
            self.number % 4,
        ]

    def _frame_at(self) -> Callable[[float], Pixels]:
        """The bare frame at any second; beyond the scene's end the camera rests."""

        seconds = self.placed.seconds
        if self.motion is None:
            image = self._fit_wide_shot(np.asarray(self.image.convert("RGB")))
            picture = self._picture(image)
            still = StillCamera(Image.fromarray(image), picture, self._camera_path(picture))
            return lambda t: still.frame(t / seconds)
        film = [self._fit_wide_shot(frame) for frame in read_frames(self.motion)]
        filled = LoopedClip(film, probe(self.motion).fps, seconds)
        picture = self._picture(film[0])
        way = self._camera_path(picture)
        return lambda t: crop_view(filled.frame(t), picture, way.at(min(t / seconds, 1.0)))

    def _fit_wide_shot(self, pixels: Pixels) -> Pixels:
        """A wide shot shows all of its picture, whatever the film's shape."""
        width, height = self.settings.size
        return (
            with_blurred_sides(pixels, width / height) if self.scene.framing == "wide" else pixels
        )

    def _picture(self, pixels: Pixels) -> PictureGeometry:
        height, width = pixels.shape[:2]
        return PictureGeometry(
            width, height, *self.settings.size, self.face_placement.face, self.face_placement.zoom
        )

    def _camera_path(self, picture: PictureGeometry) -> CropPath:
        move = self.scene.motion
        if move is None:
            # Where things move by themselves the camera had better not.
            still = self.motion is not None
            move = "still" if still else default_move(picture, self.scene.framing, self.number)
        return plan_crop_path(picture, move, self.placed.seconds)


def enlargement(image: Image.Image, settings: StorySettings, aim: FacePlacement) -> float:
    """How many pixels of the film come from one of ``image`` where the camera is nearest."""
    width, height = settings.size
    return aim.zoom * max(width / image.width, height / image.height)


def check_subtitles(board: Storyboard, settings: StorySettings) -> None:
    """Whether what is said could be drawn into the picture.

    Raises:
        BadInput: burned subtitles need a font or a typesetter that is not there.
    """
    if not settings.burn_subtitles:
        return
    try:
        for number, scene in enumerate(board.scenes, start=1):
            require_glyphs(
                sanitize_text(scene.narration), f"the narration of scene {number}, burned in,"
            )
        typeset([Paragraph("A", 12)])
    except UnsupportedCharacters as error:
        raise BadInput(f"{error}.", code="no_font") from error
    except TypesetterMissing as error:
        raise BadInput(f"burn_subtitles: {error}.", code="capability_missing") from error


def _overlay(take: SceneClip) -> SubtitleOverlay | None:
    if not take.settings.burn_subtitles:
        return None
    return SubtitleOverlay(take.cues(), *take.settings.size, take.settings.language)
