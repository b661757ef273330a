"""A lesson film: script, layout, voice, scenes as clips, and the film that joins them."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from pathlib import Path

from PIL import Image

from deployments.contract import Artifact, BadInput, Context
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.input_images import read_input_image
from deployments.generators.common.progress import FRAME_REPORT_INTERVAL_S, ProgressReporter
from deployments.generators.scene_film.clips import (
    clip_file_name,
    clip_fits,
    copy_clip,
    joined_film_spec,
)
from deployments.generators.scene_film.outputs import FinishedFilm
from deployments.generators.study_animation.lesson_from_outline import left_out_scene
from deployments.generators.study_animation.narration import narrate_scene
from deployments.generators.study_animation.outputs import FILM_FILE, POSTER_AT, write_lesson
from deployments.generators.study_animation.scene_clips import (
    FilmScene,
    lay_out,
    make_clip,
    matches_duration,
)
from deployments.generators.study_animation.script import Script, prepare_script
from deployments.generators.study_animation.settings import (
    LessonSettings,
    earlier_settings,
    resolve_settings,
)
from deployments.generators.study_animation.spec import (
    LONGEST_FILM_SECONDS,
    StudyRequest,
)
from models.media.encoding.base import FilmLabel, Frame
from models.media.encoding.concat import IncompatibleClips, concat_clips
from models.media.timeline import Timeline, build_timeline
from models.schemas.lesson import LeftOut

# How far the job is when a stage begins.
_LAYOUT, _VOICE, _DRAWING, _JOINING, _FINISHING = 0.04, 0.10, 0.2, 0.95, 0.98


class StudyAnimationGenerator:
    """Implements ``deployments.contract.Generator``; several jobs may run at a time."""

    @translate_model_errors()
    def generate(self, request: StudyRequest, context: Context) -> list[Artifact]:
        """The film, its subtitles, chapters, script, poster, and a clip for each scene."""
        context.progress(0.0, "writing")
        script = prepare_script(request, context)
        return self._make_film(request, context, script)

    def _make_film(self, request: StudyRequest, context: Context, script: Script) -> list[Artifact]:
        before = earlier_settings(context.earlier[request.earlier]) if request.earlier else None
        settings = resolve_settings(request, script.lesson.language, before)
        pictures = _read_pictures(request, context)
        scenes = []
        for number, scene in enumerate(script.lesson.scenes, start=1):
            stays = before is not None and number not in request.scenes
            look = before if stays and before is not None else settings
            scenes.append(
                FilmScene(number, scene, look, pictures, _find_clip(number, request, context))
            )
        scenes = _lay_out_scenes(scenes, context)
        scenes = self._narrate_scenes(scenes, context)
        scenes, plan = _plan_film(scenes, request, context)
        label = FilmLabel(script.lesson.title, _credit(script, scenes))
        self._note(context, script, settings, scenes, plan, label)
        film = context.workdir / FILM_FILE
        clips = _make_clips(scenes, plan, label, context)
        try:
            _join(film, clips, plan, label, settings, context)
        except IncompatibleClips:
            # The clips that were there come from another version of the encoder.
            scenes = _lay_out_scenes([replace(scene, clip=None) for scene in scenes], context)
            clips = _make_clips(scenes, plan, label, context)
            _join(film, clips, plan, label, settings, context)
        context.progress(_FINISHING, "finishing")
        lesson = script.lesson.model_copy(
            update={
                "language": settings.language,
                "scenes": tuple(s.scene for s in scenes),
                "left_out": _left_out(script, scenes),
            }
        )
        made = write_lesson(
            FinishedFilm(film, tuple(clips), settings, plan, label, context.seed, POSTER_AT),
            lesson,
        )
        context.progress(1.0, "finishing")
        return made

    def _narrate_scenes(self, scenes: list[FilmScene], context: Context) -> list[FilmScene]:
        spoken, seconds = [], 0.0
        for done, scene in enumerate(scenes):
            share = _VOICE + (_DRAWING - _VOICE) * done / len(scenes)

            def told(share: float = share) -> None:
                context.progress(share, "narrating")

            told()
            said = narrate_scene(context.inference, scene.scene, scene.settings, told)
            spoken.append(replace(scene, narration=said))
            seconds += said.speech.duration if said.speech else 0.0
            if seconds > LONGEST_FILM_SECONDS:
                raise _too_long(seconds)
        return spoken

    def _note(
        self,
        context: Context,
        script: Script,
        settings: LessonSettings,
        scenes: list[FilmScene],
        plan: Timeline,
        label: FilmLabel,
    ) -> None:
        voices = {
            s.narration.speech.voice: s.narration.speech for s in scenes if s.narration.speech
        }
        held = context.inference.memory_plans().items()
        plans = [plan for key, plan in held if key.startswith("speech:")]
        context.note(
            model=label.model,
            script_by=script.author,
            left_out=[part.model_dump(mode="json") for part in _left_out(script, scenes)],
            voices=sorted(voices),
            speech=sorted({speech.backend for speech in voices.values()}),
            word_times=sorted({speech.timing for speech in voices.values()}),
            seed=context.seed,
            seconds=round(plan.seconds, 3),
            scenes=len(scenes),
            scenes_taken_over=[scene.number for scene in scenes if scene.clip],
            width=settings.size[0],
            height=settings.size[1],
            fps=settings.fps,
            language=settings.language,
            memory_plan=next(iter(plans), "resident"),
        )


def _read_pictures(request: StudyRequest, context: Context) -> dict[str, Image.Image]:
    """All that were given, so that a broken one is refused whether it is shown or not."""
    return {
        picture.name: read_input_image(context, f"pictures.{index}.image")
        for index, picture in enumerate(request.pictures)
    }


def _find_clip(number: int, request: StudyRequest, context: Context) -> Path | None:
    """The clip of a scene that needs no drawing: a lost attempt's, or the earlier film's."""
    if (kept := context.kept.get(clip_file_name(number))) is not None:
        return kept
    if request.earlier is not None and number not in request.scenes:
        return context.earlier[request.earlier].files.get(clip_file_name(number))
    return None


def _lay_out_scenes(scenes: list[FilmScene], context: Context) -> list[FilmScene]:
    """Those without a usable clip, ready to be drawn."""
    ready = []
    for done, scene in enumerate(scenes):
        context.progress(_LAYOUT + (_VOICE - _LAYOUT) * done / len(scenes), "laying out")
        clip = scene.clip if scene.clip and clip_fits(scene.clip, scene.settings) else None
        drawing = lay_out(scene) if clip is None and scene.drawing is None else scene.drawing
        ready.append(replace(scene, clip=clip, drawing=drawing))
    return ready


def _plan_film(
    scenes: list[FilmScene], request: StudyRequest, context: Context
) -> tuple[list[FilmScene], Timeline]:
    """The film's time; clips that do not fill their scene's are given up.

    Raises:
        BadInput: the film would be too long.
    """
    plan = build_timeline([scene.timeline_part() for scene in scenes], scenes[0].settings.fps)
    fitting = [
        scene
        if scene.clip is None or matches_duration(scene, placed)
        else replace(scene, clip=None)
        for scene, placed in zip(scenes, plan.parts, strict=True)
    ]
    if fitting != scenes:
        scenes = _lay_out_scenes(fitting, context)
        plan = build_timeline([scene.timeline_part() for scene in scenes], scenes[0].settings.fps)
    if request.topic is not None:
        while plan.seconds > request.max_seconds and len(scenes) > 1:
            scenes = scenes[:-1]
            plan = build_timeline(
                [scene.timeline_part() for scene in scenes], scenes[0].settings.fps
            )
    if plan.seconds > LONGEST_FILM_SECONDS:
        raise _too_long(plan.seconds)
    return scenes, plan


def _left_out(script: Script, scenes: list[FilmScene]) -> tuple[LeftOut, ...]:
    """What the script leaves out, and its last scenes where the film was to be shorter."""
    dropped = script.lesson.scenes[len(scenes) :]
    return (
        *script.lesson.left_out,
        *(left_out_scene(scene, "longer than max_seconds") for scene in dropped),
    )


def _too_long(seconds: float) -> BadInput:
    return BadInput(
        f"The film would be more than {seconds / 60:.1f} minutes long;"
        f" {LONGEST_FILM_SECONDS // 60} are possible: make two lessons of it.",
        code="too_long",
    )


def _make_clips(
    scenes: list[FilmScene], plan: Timeline, label: FilmLabel, context: Context
) -> list[Path]:
    """Every scene as a clip in the work directory; new ones are kept for a later attempt.

    In ``scenes`` those that were drawn are replaced by ones that have their clip.
    """
    new = [s.clip is None for s in scenes]
    frames = sum(p.frames for p, drawn in zip(plan.parts, new, strict=True) if drawn)
    progress = ProgressReporter(
        context, "drawing", since=_DRAWING, until=_JOINING, interval_s=FRAME_REPORT_INTERVAL_S
    )
    drawn_frames = count(1)

    def on_frame(frame: Frame) -> None:
        progress.update(next(drawn_frames) / frames)
        progress.preview_frame(frame)

    clips = []
    for index, (scene, placed) in enumerate(zip(list(scenes), plan.parts, strict=True)):
        path = context.workdir / clip_file_name(scene.number)
        if scene.clip is not None:
            copy_clip(scene.clip, path)
        else:
            began = time.monotonic()
            make_clip(scene, placed, path, label, on_frame)
            took = time.monotonic() - began
            context.log(f"scene {index + 1} of {len(scenes)} drawn in {took:.1f} s")
            context.keep(path)
            scenes[index] = replace(scene, clip=path, drawing=None)  # frames it held are let go
        clips.append(path)
    return clips


def _join(
    film: Path,
    clips: list[Path],
    plan: Timeline,
    label: FilmLabel,
    settings: LessonSettings,
    context: Context,
) -> None:
    spec = joined_film_spec(plan, label, settings, plan.sound())

    def told(done: float) -> None:
        context.progress(_JOINING + (_FINISHING - _JOINING) * done, "joining")

    told(0.0)
    concat_clips(film, clips, spec, told)


def _credit(script: Script, scenes: list[FilmScene]) -> str:
    """Who made it, as results are signed."""
    voices = sorted({s.narration.speech.backend for s in scenes if s.narration.speech})
    return f"script: {script.author}; voice: {', '.join(voices) or 'none'}"
