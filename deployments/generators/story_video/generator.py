"""A story as a film: storyboard, voice, pictures, motion, clips, and the film that joins them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from deployments.contract import Artifact, Context
from deployments.generators.common.drawing import drawing_notes
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.progress import FRAME_REPORT_INTERVAL_S, ProgressReporter
from deployments.generators.scene_film.clips import joined_film_spec
from deployments.generators.scene_film.outputs import FinishedFilm
from deployments.generators.story_video.animating import (
    animate_scene,
    existing_motions,
    uses_generated_motion,
)
from deployments.generators.story_video.casting import (
    CastMember,
    CastRequest,
    cast_characters,
    cast_records,
    main_characters,
)
from deployments.generators.story_video.clip_encoder import FILMING, ClipEncoder, find_reusable_clip
from deployments.generators.story_video.drawing import (
    SceneDrawer,
    SceneImage,
    existing_images,
    scenes_to_draw,
)
from deployments.generators.story_video.filming import SceneClip, check_subtitles, enlargement
from deployments.generators.story_video.models import StoryModels
from deployments.generators.story_video.outputs import (
    POSTER_AT,
    StoryParts,
    storyboard_artifact,
    write_story,
)
from deployments.generators.story_video.script import Script, prepare_script
from deployments.generators.story_video.settings import (
    FILM_FILE,
    STORYBOARD_FILE,
    EarlierFilm,
    FilmRecord,
    StorySettings,
    load_earlier_film,
    resolve_settings,
)
from deployments.generators.story_video.soundtrack import (
    mix_soundtrack,
    narrate_scenes,
    plan_timeline,
    read_music,
)
from deployments.generators.story_video.spec import StoryRequest, spoken_text
from models.diffusion.resolve import resolve_request
from models.inference.operations import Upscale
from models.media.encoding.base import FilmLabel
from models.media.encoding.concat import IncompatibleClips, concat_clips
from models.media.sound import Sound
from models.media.timeline import Timeline
from models.profiles.load import Capability
from models.storyfilm.prompts.base import FacePlacement, Prompt
from models.text.languages import detect_language
from models.vision.upscale_limits import FACTORS

# How far the job is when a stage ends.
WRITTEN, NARRATED, FILMED, MIXED, JOINED = 0.04, 0.10, 0.93, 0.96, 0.99
# What making one thing takes, against others.
_PORTRAIT, _PICTURE, _MOTION, _CLIP = 1.0, 1.0, 3.0, 1.5
_MAX_ENLARGEMENT = (
    2.0  # pixels of the film from one of a picture: more, and it is enlarged with care
)


@dataclass(frozen=True, eq=False)
class _FilmJob:
    """What is known of a film before its pictures are made."""

    request: StoryRequest
    context: Context
    models: StoryModels
    settings: StorySettings
    script: Script
    before: EarlierFilm | None
    kept: Mapping[str, Path]
    plan: Timeline
    label: FilmLabel
    generated: bool


@dataclass(frozen=True, eq=False)
class _FilmParts:
    """What was made for it."""

    scene_clips: list[SceneClip]
    clips: list[Path]
    cast: Mapping[str, CastMember]


class StoryVideoGenerator:
    """Implements ``deployments.contract.Generator``; pictures of all jobs share denoising steps."""

    @translate_model_errors()
    def generate(self, request: StoryRequest, context: Context) -> list[Artifact]:
        """The film with its poster, subtitles, storyboard, pictures and clips; or the storyboard
        alone."""
        return self._generate(request, context)

    def _generate(self, request: StoryRequest, context: Context) -> list[Artifact]:
        context.progress(0.0, "writing")
        before = load_earlier_film(request, context)
        settings, models = resolve_settings(request, before), StoryModels(context.inference)
        generated = request.only == "film" and uses_generated_motion(settings, models)
        music = read_music(request.music, context)
        script = prepare_script(request, before, context, WRITTEN)
        context.note(
            seed=context.seed,
            script_by=script.author,
            scenes=len(script.storyboard.scenes),
            left_out=[entry._asdict() for entry in script.left_out],
        )
        if before is None and request.language is None:
            found = detect_language(spoken_text(request))
            context.note(language=found.language, language_confidence=found.confidence)
        if request.only == "storyboard":
            context.note(model=script.author, memory_plan=_memory_plans(models))
            context.progress(1.0, "writing")
            return [storyboard_artifact(context.workdir)]
        check_subtitles(script.storyboard, settings)
        # A story that has to be written anew may come out otherwise: its pictures are another's.
        kept = context.kept
        if request.story is not None and STORYBOARD_FILE not in kept:
            kept = {}
        plan = self._plan(script, settings, models, context)
        model = models.profile.model(Capability.TEXT_TO_IMAGE).name
        label = FilmLabel(script.storyboard.title, model)
        job = _FilmJob(
            request, context, models, settings, script, before, kept, plan, label, generated
        )
        made = self._make_clips(job)
        self._join_film(job, made, music)
        context.progress(JOINED, "finishing")
        artifacts = write_story(_finished_film(job, made), _story_parts(job, made))
        context.progress(1.0, "finishing")
        return artifacts

    def _plan(
        self, script: Script, settings: StorySettings, models: StoryModels, context: Context
    ) -> Timeline:
        def told(share: float) -> None:
            context.progress(WRITTEN + (NARRATED - WRITTEN) * share, "narrating")

        speeches = narrate_scenes(script.storyboard, settings, models, told)
        plan = plan_timeline(script.storyboard, speeches, settings)
        spoken = [speech for speech in speeches if speech is not None]
        context.note(
            voices=sorted({speech.voice for speech in spoken}),
            speech=sorted({speech.backend for speech in spoken}),
            word_times=sorted({speech.timing for speech in spoken}),
            seconds=round(plan.seconds, 3),
            width=settings.size[0],
            height=settings.size[1],
            fps=settings.fps,
            language=settings.language,
        )
        return plan

    def _make_clips(self, job: _FilmJob) -> _FilmParts:
        """Pictures, motion and clips; clips are made while the next pictures are drawn."""
        context, board = job.context, job.script.storyboard
        count = len(board.scenes)
        there = existing_images(job.request, count, job.before, job.kept)
        moving = existing_motions(there, job.before, job.kept, count) if job.generated else {}
        drawn = scenes_to_draw(count, there)
        weights = {character.name: _PORTRAIT for character in board.characters}
        weights |= {f"picture {number}": _PICTURE for number in drawn}
        weights |= {f"clip {number}": _CLIP for number in range(1, count + 1)}
        if job.generated:
            weights |= {f"motion {n}": _MOTION for n in range(1, count + 1) if n not in moving}
        course = ProgressReporter(
            context,
            "casting",
            weights,
            since=NARRATED,
            until=FILMED,
            interval_s=FRAME_REPORT_INTERVAL_S,
        )
        course.enter_stage("casting")
        casting = CastRequest(
            job.request, board, job.settings, job.before, main_characters(board, drawn)
        )
        cast = cast_characters(casting, job.models, job.kept, context, course)
        drawing = SceneDrawer(
            job.request, board, job.settings, cast, there, job.models, context, course
        )
        _note_cast(drawing, drawn, context)
        takes: list[SceneClip] = []
        notes: list[dict[str, Any]] = []

        def film(picture: SceneImage, motion: Path | None) -> None:
            before = takes[-1] if takes else None
            take = self._scene_clip(job, picture, motion, course)
            takes.append(take)
            room.submit(take, before, find_reusable_clip(take, before, job.before, job.kept))

        with ClipEncoder(context, course, job.label) as room:
            course.enter_stage("drawing")
            pictures = []
            for number, prompt in enumerate(drawing.prompts(), start=1):
                picture = drawing.scene_image(number, prompt)
                notes.append(picture.notes)
                pictures.append(picture)
                if not job.generated:
                    film(picture, None)
            if job.generated:
                course.enter_stage("animating")
                for picture in pictures:
                    film(
                        picture,
                        animate_scene(picture, moving, job.settings, job.models, context, course),
                    )
            course.enter_stage(FILMING)
        clips, taken_over = room.clips()
        context.note(
            pictures=notes,
            clips_taken_over=taken_over,
            motion="generated" if job.generated else "camera",
            memory_plan=_memory_plans(job.models),
        )
        return _FilmParts(takes, clips, cast)

    def _scene_clip(
        self, job: _FilmJob, picture: SceneImage, motion: Path | None, course: ProgressReporter
    ) -> SceneClip:
        number = picture.number
        scene = job.script.storyboard.scenes[number - 1]
        aim = (
            job.models.prompt_builder.face_placement(scene.framing)
            if scene.characters
            else _CENTERED
        )
        image = picture.image
        if motion is None and enlargement(image, job.settings, aim) > _MAX_ENLARGEMENT:
            image = self._enlarge(job, image, enlargement(image, job.settings, aim), course)
        return SceneClip(
            number=number,
            scene=scene,
            placed=job.plan.parts[number - 1],
            settings=job.settings,
            face_placement=aim,
            image=image,
            file=picture.path,
            motion=motion,
            last=number == len(job.script.storyboard.scenes),
        )

    def _enlarge(self, job: _FilmJob, image: Image, by: float, course: ProgressReporter) -> Image:
        """The picture with more pixels, where the profile has an upscaler."""
        if not job.models.supports_upscaling:
            return image
        factor = next((one for one in FACTORS if one * _MAX_ENLARGEMENT >= by), FACTORS[-1])
        return job.models.inference.run(Upscale(image, factor), lambda event: course.report(""))

    def _join_film(self, job: _FilmJob, made: _FilmParts, music: Sound | None) -> None:
        context = job.context

        def mixing() -> None:
            context.progress(FILMED, "mixing")

        mixing()
        sound = mix_soundtrack(job.plan, job.request.music, music, context.seed, mixing)
        spec = joined_film_spec(job.plan, job.label, job.settings, sound)

        def joining(share: float) -> None:
            context.progress(MIXED + (JOINED - MIXED) * share, "joining")

        joining(0.0)
        film = context.workdir / FILM_FILE
        try:
            concat_clips(film, made.clips, spec, joining)
        except IncompatibleClips:
            # The clips that were there come from another version of the encoder.
            course = ProgressReporter(context, "drawing", {}, since=FILMED, until=FILMED)
            with ClipEncoder(context, course, job.label) as room:
                for before, take in zip([None, *made.scene_clips], made.scene_clips, strict=False):
                    room.submit(take, before, None)
            concat_clips(film, room.clips()[0], spec, joining)


def _note_cast(drawing: SceneDrawer, drawn: Any, context: Context) -> None:
    """What the pictures are made with, and who plays whom."""
    number = drawn[0] if drawn else 1
    names = drawing.board.scenes[number - 1].characters
    main = drawing.cast[names[0]] if names else None
    used = resolve_request(drawing.models.profile, drawing.image_request(number, Prompt(""), main))
    context.note(
        **drawing_notes(used, scale="identity_strength"),
        characters=[
            {
                "name": name,
                "played_by": one.source,
                "compared": one.reference_embedding is not None,
            }
            for name, one in drawing.cast.items()
        ],
    )


def _memory_plans(models: StoryModels) -> str:
    plans = models.inference.memory_plans()
    return ", ".join(sorted(set(plans.values()))) or "resident"


_CENTERED = FacePlacement(face=(0.5, 0.5), zoom=1.0)


def _finished_film(job: _FilmJob, made: _FilmParts) -> FinishedFilm:
    return FinishedFilm(
        path=job.context.workdir / FILM_FILE,
        clips=tuple(made.clips),
        settings=job.settings,
        plan=job.plan,
        label=job.label,
        seed=job.context.seed,
        poster_at=POSTER_AT,
    )


def _story_parts(job: _FilmJob, made: _FilmParts) -> StoryParts:
    before = [None, *made.scene_clips]
    prints = [take.fingerprint(one) for one, take in zip(before, made.scene_clips, strict=False)]
    members = made.cast.values()
    motions = [take.motion for take in made.scene_clips if take.motion is not None]
    return StoryParts(
        record=FilmRecord(settings=job.settings, cast=cast_records(made.cast), clips=tuple(prints)),
        pictures=tuple(take.file for take in made.scene_clips),
        characters=tuple(member.file for member in members if member.file is not None),
        motions=tuple(motions),
    )
