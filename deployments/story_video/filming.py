"""Each scene as a clip of its own: its picture under the camera, the way it takes over from the
scene before, its subtitles; drawn frame by frame while the encoder works, or taken as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import BadInput
from deployments.story_video.settings import FilmSettings
from deployments.story_video.storyboard import Scene, Storyboard
from models.lesson.errors import NoFont
from models.lesson.fonts import require
from models.lesson.plain_text import plain
from models.lesson.typeset import TypesetterMissing, Words, typeset
from models.media.film import FilmLabel, FilmSpec, open_film
from models.media.pipelined import pipelined
from models.media.probe import UnreadableFilm, probe, read_frames
from models.media.subtitles import Cue, clipped, cues_from_words
from models.media.timeline import Placed
from models.story.camera import Path as Way
from models.story.camera import Picture, Still, look, path_for, usual_move
from models.story.film_motion import Filled
from models.story.subtitle_overlay import SubtitleOverlay
from models.story.transitions import ENDING_SECONDS, SECONDS, ended, taken_over
from models.story.widened import widened
from models.story.wording import Aim

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.media.film import Frame as AnyFrame
    from models.story.camera import Frame

CRF = 20
_VERSION = 1  # of how clips are drawn: another one, and none of an earlier film is taken over


def clip_name(number: int) -> str:
    """The film of scene ``number``, counted from 1."""
    return f"scene-{number:02}.mp4"


@dataclass(frozen=True, eq=False)
class Take:
    """Everything the clip of scene ``number`` is made from.

    ``image`` is its picture, large enough to be filmed, ``file`` as it was drawn; ``motion`` a film
    of what moves in it.
    """

    number: int
    scene: Scene
    placed: Placed
    settings: FilmSettings
    aim: Aim
    image: Image
    file: Path
    motion: Path | None = None
    last: bool = False

    def frames(self, before: Take | None) -> Iterator[Frame]:
        """Its frames, uint8 RGB; ``before`` is the scene it takes over from."""
        seen, kind = self._seen(), self.scene.transition
        over = SECONDS[kind]
        gone = before._seen() if before is not None and over else None
        texts = _overlay(self)
        for index in range(self.placed.frames):
            t = float(index / self.placed.rate)
            frame = seen(t)
            if t < over:
                was = gone(before.placed.seconds + t) if gone and before else None
                share = (index + 1) / (over * float(self.placed.rate) + 1)
                frame = taken_over(kind, was, frame, share)
            else:
                gone = None  # the frames it holds are let go
            if self.last and (left := self.placed.seconds - t) < ENDING_SECONDS:
                frame = ended(frame, 1 - left / ENDING_SECONDS + 1 / self.settings.fps)
            yield texts.over(frame, t) if texts is not None else frame

    def fingerprint(self, before: Take | None) -> str:
        """The same for clips that show the same."""
        made_of: list[Any] = [_VERSION, self._made_of, self.scene.transition, self.last]
        if before is not None and SECONDS[self.scene.transition]:
            made_of.append(before._made_of)
        if self.settings.burn_subtitles:
            made_of += [[asdict(cue) for cue in self.cues()], self.settings.language]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def cues(self) -> list[Cue]:
        """Its subtitles, in seconds since it began."""
        seconds = self.placed.seconds
        return clipped(cues_from_words(self.placed.words(), seconds), seconds)

    @cached_property
    def _made_of(self) -> list[Any]:
        """What decides on the bare frames."""
        files = [self.file] + ([self.motion] if self.motion is not None else [])
        return [
            *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files),
            self.settings.size,
            self.settings.fps,
            self.placed.frames,
            self.scene.motion,
            self.scene.framing,
            asdict(self.aim),
            self.number % 4,
        ]

    def _seen(self) -> Callable[[float], Frame]:
        """The bare frame at any second; beyond the scene's end the camera rests."""
        import numpy as np
        from PIL import Image as Pillow

        seconds = self.placed.seconds
        if self.motion is None:
            image = self._whole(np.asarray(self.image.convert("RGB")))
            picture = self._picture(image)
            still = Still(Pillow.fromarray(image), picture, self._way(picture))
            return lambda t: still.frame(t / seconds)
        film = [self._whole(frame) for frame in read_frames(self.motion)]
        filled = Filled(film, probe(self.motion).fps, seconds)
        picture = self._picture(film[0])
        way = self._way(picture)
        return lambda t: look(filled.frame(t), picture, way.at(min(t / seconds, 1.0)))

    def _whole(self, pixels: Frame) -> Frame:
        """A wide shot shows all of its picture, whatever the film's shape."""
        width, height = self.settings.size
        return widened(pixels, width / height) if self.scene.framing == "wide" else pixels

    def _picture(self, pixels: Frame) -> Picture:
        height, width = pixels.shape[:2]
        return Picture(width, height, *self.settings.size, self.aim.face, self.aim.zoom)

    def _way(self, picture: Picture) -> Way:
        move = self.scene.motion
        if move is None:
            # Where things move by themselves the camera had better not.
            still = self.motion is not None
            move = "still" if still else usual_move(picture, self.scene.framing, self.number)
        return path_for(picture, move, self.placed.seconds)


def make_clip(
    take: Take,
    before: Take | None,
    path: Path,
    label: FilmLabel,
    on_frame: Callable[[int, AnyFrame], None],
) -> None:
    """Draw and encode ``take``; ``on_frame`` is called after each frame and may raise."""
    spec = FilmSpec(take.placed.rate, label, crf=CRF)
    with open_film(path, spec) as film:
        pipelined(take.frames(before), film, on_frame)


def taken(clip: Path | None, take: Take, path: Path) -> bool:
    """Whether ``clip`` could be taken for ``take``; it is at ``path`` then, byte for byte."""
    if clip is None:
        return False
    try:
        found = probe(clip)
    except UnreadableFilm:
        return False
    shape = (found.width, found.height, found.fps, found.frames)
    if shape != (*take.settings.size, take.settings.fps, take.placed.frames):
        return False
    if clip != path:
        shutil.copyfile(clip, path)
    return True


def enlargement(image: Image, settings: FilmSettings, aim: Aim) -> float:
    """How many pixels of the film come from one of ``image`` where the camera is nearest."""
    width, height = settings.size
    return aim.zoom * max(width / image.width, height / image.height)


def check_subtitles(board: Storyboard, settings: FilmSettings) -> None:
    """Whether what is said could be drawn into the picture.

    Raises:
        BadInput: burned subtitles need a font or a typesetter that is not there.
    """
    if not settings.burn_subtitles:
        return
    try:
        for number, scene in enumerate(board.scenes, start=1):
            require(plain(scene.narration), f"the narration of scene {number}, burned in,")
        typeset([Words("A", 12)])
    except NoFont as error:
        raise BadInput(f"{error}.", code="no_font") from error
    except TypesetterMissing as error:
        raise BadInput(f"burn_subtitles: {error}.", code="capability_missing") from error


def _overlay(take: Take) -> SubtitleOverlay | None:
    if not take.settings.burn_subtitles:
        return None
    return SubtitleOverlay(take.cues(), *take.settings.size, take.settings.language)
