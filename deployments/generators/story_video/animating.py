"""What scenes show set in motion by the profile's film model, each a short film of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from deployments.contract import BadInput, Context
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.story_video.drawing import SceneImage, image_file_name
from deployments.generators.story_video.models import StoryModels, derive_seed
from deployments.generators.story_video.settings import EarlierFilm, StorySettings
from models.diffusion.video.requests import VideoNotSupported, VideoRequest
from models.inference.operations import GenerateVideo
from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film

_CRF = 10  # it is encoded once more as part of its scene


def motion_file_name(number: int) -> str:
    """The file of what moves in scene ``number``, counted from 1."""
    return f"motion-{number:02}.mp4"


def uses_generated_motion(settings: StorySettings, means: StoryModels) -> bool:
    """Whether scenes move by themselves.

    Raises:
        BadInput: they should, but the profile has no film model.
    """
    if settings.motion == "generated" and not means.supports_video:
        raise BadInput(
            f"motion: the installed profile ({means.profile.name}) has no film model; ask for"
            " `camera` or `auto`.",
            code="capability_missing",
        )
    return settings.motion != "camera" and means.supports_video


def existing_motions(
    there: Mapping[int, Path], before: EarlierFilm | None, kept: Mapping[str, Path], count: int
) -> dict[int, Path]:
    """Films of pictures that are not drawn anew, by number of their scene."""
    found: dict[int, Path] = {}
    for number in range(1, count + 1):
        name = motion_file_name(number)
        if name in kept:
            found[number] = kept[name]
            continue
        picture = before.files.get(image_file_name(number)) if before is not None else None
        if before is not None and picture is not None and there.get(number) == picture:
            found |= {number: before.files[name]} if name in before.files else {}
    return found


def animate_scene(
    picture: SceneImage,
    there: Mapping[int, Path],
    settings: StorySettings,
    means: StoryModels,
    context: Context,
    course: ProgressReporter,
) -> Path:
    """The film of ``picture``, as a file of the work directory.

    Raises:
        BadInput: the film model refuses it.
    """
    number = picture.number
    path = context.workdir / motion_file_name(number)
    if number in there:
        shutil.copyfile(there[number], path)
        return path
    width, height = settings.size
    wanted = VideoRequest(
        image=picture.image,
        prompt=picture.prompt,
        negative_prompt=settings.negative_prompt,
        seed=derive_seed(context.seed, f"motion {number}"),
        aspect=width / height,
    )
    try:
        video = means.inference.run(GenerateVideo(wanted), course.callback(f"motion {number}"))
    except VideoNotSupported as error:
        raise BadInput(f"motion: {error}.", code="size_not_supported") from error
    used = video.used
    label = FilmLabel(f"Scene {number}", used.model)
    with open_film(path, FilmSpec(used.fps, label, crf=_CRF)) as film:
        for frame in video.frames:
            course.report("")
            film.write(frame)
    context.keep(path)
    context.note(motion_model=used.model, motion_steps=used.steps)
    if used.ignored:
        context.note(motion_ignored=dict(used.ignored))
    course.report(f"motion {number}")
    return path
