"""Clips are made in a thread of their own, in order, while the next pictures are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deployments.contract import Context
from deployments.story_video.course import Course, Stopped
from deployments.story_video.filming import Take, clip_name, make_clip, taken
from deployments.story_video.settings import Before
from models.media.film import FilmLabel, pixels_of

if TYPE_CHECKING:
    from models.media.film import Frame

_PREVIEW_SIDE = 480


class CuttingRoom:
    """A context manager: leaving it waits for the clips; an error on either side stops both."""

    def __init__(self, context: Context, course: Course, label: FilmLabel) -> None:
        self._context, self._course, self._label = context, course, label
        self._folder = context.workdir
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cutting")
        self._waiting: list[Future[tuple[Path, bool]]] = []

    def __enter__(self) -> Self:
        return self

    def add(self, take: Take, before: Take | None, made: Path | None) -> None:
        """Have the clip of ``take`` made, or ``made`` taken for it if it fits."""
        self._waiting.append(self._pool.submit(self._clip, take, before, made))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._course.stop()
        self._pool.shutdown(wait=True)
        failed = [e for future in self._waiting if (e := future.exception()) is not None]
        if error is None or isinstance(error, Stopped):
            for one in failed:
                if not isinstance(one, Stopped):
                    raise one

    def clips(self) -> tuple[list[Path], list[int]]:
        """All of them, and the numbers of those that were taken over; after the end."""
        done = [future.result() for future in self._waiting]
        return [path for path, _ in done], [n for n, (_, was) in enumerate(done, 1) if was]

    def _clip(self, take: Take, before: Take | None, made: Path | None) -> tuple[Path, bool]:
        path, thing = self._folder / clip_name(take.number), f"clip {take.number}"
        try:
            self._course.done("")
            if taken(made, take, path):
                self._course.done(thing)
                return path, True

            def on_frame(number: int, frame: Frame) -> None:
                self._course.done(thing, number / take.placed.frames)
                if self._course.filming and self._course.shows():
                    self._show(frame)

            make_clip(take, before, path, self._label, on_frame)
            self._context.keep(path)
            self._course.done(thing)
            return path, False
        except BaseException:
            self._course.stop()
            raise

    def _show(self, frame: Frame) -> None:
        from PIL import Image

        preview = Image.fromarray(pixels_of(frame))
        preview.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        self._context.preview(preview)


def made_before(
    take: Take, before: Take | None, film: Before | None, kept: Mapping[str, Path]
) -> Path | None:
    """The clip of a lost attempt, or one of the earlier film that would come out the same."""
    name = clip_name(take.number)
    if name in kept:
        return kept[name]
    if film is None or take.number > len(film.record.clips):
        return None
    same = take.fingerprint(before) == film.record.clips[take.number - 1]
    return film.files.get(name) if same else None
