"""Clips are made in a thread of their own, in order, while the next pictures are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from deployments.contract import Context
from deployments.generators.common.progress import Aborted, ProgressReporter
from deployments.generators.scene_film.clips import (
    clip_file_name,
    clip_fits,
    copy_clip,
    write_clip,
)
from deployments.generators.story_video.filming import SceneClip
from deployments.generators.story_video.settings import EarlierFilm
from models.media.encoding.base import FilmLabel, Frame

FILMING = "filming"  # the stage in which only clips are made


class ClipEncoder:
    """A context manager: leaving it waits for the clips; an error on either side stops both."""

    def __init__(self, context: Context, course: ProgressReporter, label: FilmLabel) -> None:
        self._context, self._reporter, self._label = context, course, label
        self._folder = context.workdir
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cutting")
        self._waiting: list[Future[tuple[Path, bool]]] = []

    def __enter__(self) -> Self:
        return self

    def submit(self, take: SceneClip, before: SceneClip | None, made: Path | None) -> None:
        """Have the clip of ``take`` made, or ``made`` taken for it if it fits."""
        self._waiting.append(self._pool.submit(self._encode, take, before, made))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._reporter.abort()
        self._pool.shutdown(wait=True)
        failed = [e for future in self._waiting if (e := future.exception()) is not None]
        if error is None or isinstance(error, Aborted):
            for one in failed:
                if not isinstance(one, Aborted):
                    raise one

    def clips(self) -> tuple[list[Path], list[int]]:
        """All of them, and the numbers of those that were taken over; after the end."""
        done = [future.result() for future in self._waiting]
        return [path for path, _ in done], [n for n, (_, was) in enumerate(done, 1) if was]

    def _encode(
        self, take: SceneClip, before: SceneClip | None, made: Path | None
    ) -> tuple[Path, bool]:
        path, thing = self._folder / clip_file_name(take.number), f"clip {take.number}"
        try:
            self._reporter.report("")
            if made is not None and clip_fits(made, take.settings, take.placed.frames):
                copy_clip(made, path)
                self._reporter.report(thing)
                return path, True

            def on_frame(number: int, frame: Frame) -> None:
                self._reporter.report(thing, number / take.placed.frames)
                if self._reporter.stage == FILMING:  # no more pictures to show
                    self._reporter.preview_frame(frame)

            write_clip(path, take.frames(before), take.placed.rate, self._label, on_frame)
            self._context.keep(path)
            self._reporter.report(thing)
            return path, False
        except BaseException:
            self._reporter.abort()
            raise


def find_reusable_clip(
    take: SceneClip, before: SceneClip | None, film: EarlierFilm | None, kept: Mapping[str, Path]
) -> Path | None:
    """The clip of a lost attempt, or one of the earlier film that would come out the same."""
    name = clip_file_name(take.number)
    if name in kept:
        return kept[name]
    if film is None or take.number > len(film.record.clips):
        return None
    same = take.fingerprint(before) == film.record.clips[take.number - 1]
    return film.files.get(name) if same else None
