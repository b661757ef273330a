"""Frames into a film and its poster, while they are drawn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.contract import Artifact, Context
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.video3d.spec import Video3DRequest
from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film
from models.media.encoding.threads import encode_in_thread
from models.media.png import ImageMetadata
from models.media.poster import encode_poster

Frame = np.ndarray[Any, Any]


CONTENT_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif"}
# Where a film begins anew its first frame follows its last one: at a usual 20 they differ visibly.
_CRF = 16
# GIF is written when all its frames are known: the share of the filming that is left for it.
_GIF_ENCODING_SHARE = 0.35


@dataclass(frozen=True)
class FilmJob:
    """A film to be made: ``since`` and ``until`` are its part of the job; ``poster`` the number of
    the frame that becomes the still picture."""

    request: Video3DRequest
    metadata: ImageMetadata
    since: float
    until: float
    poster: int = 0

    @property
    def label(self) -> FilmLabel:
        return FilmLabel(self.metadata.prompt or "A film", self.metadata.model)


def write_film(filming: FilmJob, frames: Iterator[Frame], context: Context) -> list[Artifact]:
    """Write ``film.FORMAT`` and ``poster.FORMAT``; a cancel ends it with the frame at work."""
    request, count = filming.request, filming.request.frames
    path = context.workdir / f"film.{request.format}"
    spec = FilmSpec(request.fps, filming.label, crf=_CRF, alpha=request.background == "transparent")
    whole = filming.until - filming.since
    drawing = whole * (1 - _GIF_ENCODING_SHARE if request.format == "gif" else 1.0)
    still: list[Frame] = []
    progress = ProgressReporter(
        context, "filming", since=filming.since, until=filming.since + drawing
    )
    encoding = ProgressReporter(
        context, "encoding", since=filming.since + drawing, until=filming.until
    )

    def on_frame(number: int, frame: Any) -> None:
        if number == filming.poster:
            still.append(frame)
        progress.preview_frame(frame)
        progress.update((number + 1) / count)

    started = time.monotonic()
    # Closed, so that the threads that draw are gone when this is left, whichever way.
    with closing(frames), open_film(path, spec, encoding.update) as film:  # type: ignore[type-var]
        encode_in_thread(frames, film, on_frame)
        encoding.update(0.0)
    context.note(
        frames=count,
        filming_seconds=round(time.monotonic() - started, 4),
        width=still[0].shape[1],
        height=still[0].shape[0],
    )
    height, width = still[0].shape[:2]
    made = Artifact(
        path, "video", CONTENT_TYPES[request.format], width, height, count / request.fps
    )
    return [made, _poster(filming, still[0], context)]


def _poster(filming: FilmJob, frame: Frame, context: Context) -> Artifact:
    kind = filming.request.poster
    path = context.workdir / f"poster.{kind}"
    path.write_bytes(encode_poster(frame, filming.metadata, kind))
    return Artifact(path, "poster", f"image/{kind}", frame.shape[1], frame.shape[0])
