"""A story as a film: storyboard, voice, pictures, motion, clips, and the film that joins them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import Artifact, Context, Runtime
from deployments.story_video.animating import animated, is_generated, motions_there
from deployments.story_video.casting import (
    Casting,
    Member,
    cast_for,
    needed_for,
    records_of,
)
from deployments.story_video.course import FILMING, Course
from deployments.story_video.cutting import CuttingRoom, made_before
from deployments.story_video.drawing import (
    Drawing,
    ScenePicture,
    pictures_there,
    to_draw,
)
from deployments.story_video.filming import Take, check_subtitles, enlargement
from deployments.story_video.means import Means, derived
from deployments.story_video.outputs import Finished, storyboard_artifact, write_outputs
from deployments.story_video.settings import (
    FILM_FILE,
    STORYBOARD_FILE,
    Before,
    FilmRecord,
    FilmSettings,
    film_before,
    settings_for,
)
from deployments.story_video.sound import given_music, narrated, planned, soundtrack
from deployments.story_video.spec import StoryRequest
from deployments.story_video.writing import Script, script_for
from deployments.studio import open_studio, refusing
from models.media.film import FilmLabel, FilmSpec
from models.media.join import ClipsDiffer, join
from models.media.languages import three_letters
from models.memory_use import MemoryStats
from models.profiles import Capability
from models.story.wording import Aim, Prompt
from models.upscale import Upscaler, UpscaleRequest

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.media.audio import Sound
    from models.media.timeline import Timeline

# How far the job is when a stage ends.
WRITTEN, NARRATED, FILMED, MIXED, JOINED = 0.04, 0.10, 0.93, 0.96, 0.99
# What making one thing takes, against others.
_PORTRAIT, _PICTURE, _MOTION, _CLIP = 1.0, 1.0, 3.0, 1.5
_SOFT = 2.0  # pixels of the film from one of a picture: more, and it is enlarged with care


@dataclass(frozen=True, eq=False)
class _Job:
    """What is known of a film before its pictures are made."""

    request: StoryRequest
    context: Context
    settings: FilmSettings
    script: Script
    before: Before | None
    kept: Mapping[str, Path]
    plan: Timeline
    label: FilmLabel
    generated: bool


@dataclass(frozen=True, eq=False)
class _Made:
    """What was made for it."""

    takes: list[Take]
    clips: list[Path]
    cast: Mapping[str, Member]


class StoryVideoGenerator:
    """Implements ``deployments.contract.Generator``; pictures of all jobs share denoising steps."""

    def load(self, runtime: Runtime) -> None:
        """Read the weights that every film needs (seconds; tens of seconds for large ones)."""
        self._profile, self._residency = open_studio(runtime)
        self._means = Means.of(self._profile, self._residency)
        self._residency.run(self._means.narrator, lambda voice: voice.voices())
        drawn = Capability.IDENTITY if self._means.knows_people else Capability.TEXT_TO_IMAGE
        self._means.pictures.warm(drawn)
        if self._means.likeness is not None:
            self._residency.run(self._means.likeness, lambda _: None)

    def generate(self, request: StoryRequest, context: Context) -> list[Artifact]:
        """The film with its poster, subtitles, storyboard, pictures and clips; or the storyboard
        alone."""
        with refusing():
            return self._generate(request, context)

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._residency.stats()

    def _generate(self, request: StoryRequest, context: Context) -> list[Artifact]:
        context.progress(0.0, "writing")
        before = film_before(request, context)
        settings = settings_for(request, before)
        generated = request.only == "film" and is_generated(settings, self._means)
        music = given_music(request.music, context)
        script = script_for(request, before, context, self._profile, self._residency, WRITTEN)
        context.note(seed=context.seed, script_by=script.by, scenes=len(script.board.scenes))
        if request.only == "storyboard":
            context.note(model=script.by, memory_plan=self._plans())
            context.progress(1.0, "writing")
            return [storyboard_artifact(context.workdir)]
        check_subtitles(script.board, settings)
        # A story that has to be written anew may come out otherwise: its pictures are another's.
        kept = context.kept
        if request.story is not None and STORYBOARD_FILE not in kept:
            kept = {}
        plan = self._planned(script, settings, context)
        model = self._profile.model(Capability.TEXT_TO_IMAGE).name
        label = FilmLabel(script.board.title, model)
        job = _Job(request, context, settings, script, before, kept, plan, label, generated)
        made = self._filmed(job)
        self._joined(job, made, music)
        context.progress(JOINED, "finishing")
        artifacts = write_outputs(_finished(job, made))
        context.progress(1.0, "finishing")
        return artifacts

    def _planned(self, script: Script, settings: FilmSettings, context: Context) -> Timeline:
        def told(share: float) -> None:
            context.progress(WRITTEN + (NARRATED - WRITTEN) * share, "narrating")

        speeches = narrated(script.board, settings, self._means, told)
        plan = planned(script.board, speeches, settings)
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

    def _filmed(self, job: _Job) -> _Made:
        """Pictures, motion and clips; clips are made while the next pictures are drawn."""
        context, board = job.context, job.script.board
        count = len(board.scenes)
        there = pictures_there(job.request, count, job.before, job.kept)
        moving = motions_there(there, job.before, job.kept, count) if job.generated else {}
        drawn = to_draw(count, there)
        weights = {character.name: _PORTRAIT for character in board.characters}
        weights |= {f"picture {number}": _PICTURE for number in drawn}
        weights |= {f"clip {number}": _CLIP for number in range(1, count + 1)}
        if job.generated:
            weights |= {f"motion {n}": _MOTION for n in range(1, count + 1) if n not in moving}
        course = Course(context, NARRATED, FILMED, weights)
        course.enter("casting")
        casting = Casting(job.request, board, job.settings, job.before, needed_for(board, drawn))
        cast = cast_for(casting, self._means, job.kept, context, course)
        drawing = Drawing(
            job.request, board, job.settings, cast, there, self._means, context, course
        )
        self._note_cast(drawing, drawn, context)
        takes: list[Take] = []
        notes: list[dict[str, Any]] = []

        def film(picture: ScenePicture, motion: Path | None) -> None:
            before = takes[-1] if takes else None
            take = self._take(job, picture, motion, course)
            takes.append(take)
            room.add(take, before, made_before(take, before, job.before, job.kept))

        with CuttingRoom(context, course, job.label) as room:
            course.enter("drawing")
            pictures = []
            for number, prompt in enumerate(drawing.prompts(), start=1):
                picture = drawing.scene(number, prompt)
                notes.append(picture.notes)
                pictures.append(picture)
                if not job.generated:
                    film(picture, None)
            if job.generated:
                course.enter("animating")
                for picture in pictures:
                    film(
                        picture,
                        animated(picture, moving, job.settings, self._means, context, course),
                    )
            course.enter(FILMING)
        clips, taken_over = room.clips()
        context.note(
            pictures=notes,
            clips_taken_over=taken_over,
            motion="generated" if job.generated else "camera",
            memory_plan=self._plans(),
        )
        return _Made(takes, clips, cast)

    def _take(self, job: _Job, picture: ScenePicture, motion: Path | None, course: Course) -> Take:
        number = picture.number
        scene = job.script.board.scenes[number - 1]
        aim = self._means.wording.aim(scene.framing) if scene.characters else _MIDDLE
        image = picture.image
        if motion is None and enlargement(image, job.settings, aim) > _SOFT:
            image = self._enlarged(picture, enlargement(image, job.settings, aim), job, course)
        return Take(
            number=number,
            scene=scene,
            placed=job.plan.parts[number - 1],
            settings=job.settings,
            aim=aim,
            image=image,
            file=picture.path,
            motion=motion,
            last=number == len(job.script.board.scenes),
        )

    def _enlarged(self, picture: ScenePicture, by: float, job: _Job, course: Course) -> Image:
        """The picture with more pixels, where the profile has an upscaler."""
        if self._means.upscaler is None:
            return picture.image

        def work(model: Upscaler) -> Image:
            factor = next((one for one in model.factors if one * _SOFT >= by), model.factors[-1])
            wanted = UpscaleRequest(
                picture.image,
                factor,
                picture.prompt,
                job.settings.negative_prompt,
                derived(job.context.seed, f"enlarged {picture.number}"),
            )
            return model.upscale(wanted, lambda step, total: course.done("")).image

        return self._residency.run(self._means.upscaler, work)

    def _note_cast(self, drawing: Drawing, drawn: Any, context: Context) -> None:
        """What the pictures are made with, and who plays whom."""
        number = drawn[0] if drawn else 1
        names = drawing.board.scenes[number - 1].characters
        main = drawing.cast[names[0]] if names else None
        used = self._means.pictures.plan(drawing.wanted(number, Prompt(""), main))
        context.note(
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
            scheduler=used.scheduler,
            characters=[
                {"name": name, "played_by": one.by, "compared": one.known is not None}
                for name, one in drawing.cast.items()
            ],
        )

    def _joined(self, job: _Job, made: _Made, music: Sound | None) -> None:
        context = job.context

        def mixing() -> None:
            context.progress(FILMED, "mixing")

        mixing()
        sound = soundtrack(job.plan, job.request.music, music, context.seed, mixing)
        spec = FilmSpec(
            job.plan.rate,
            job.label,
            sound=sound,
            subtitles=job.plan.cues(),
            chapters=job.plan.chapters(),
            language=three_letters(job.settings.language),
        )

        def joining(share: float) -> None:
            context.progress(MIXED + (JOINED - MIXED) * share, "joining")

        joining(0.0)
        film = context.workdir / FILM_FILE
        try:
            join(film, made.clips, spec, joining)
        except ClipsDiffer:
            # The clips that were there come from another version of the encoder.
            course = Course(context, FILMED, FILMED, {})
            with CuttingRoom(context, course, job.label) as room:
                for before, take in zip([None, *made.takes], made.takes, strict=False):
                    room.add(take, before, None)
            join(film, room.clips()[0], spec, joining)

    def _plans(self) -> str:
        plans = self._residency.stats().plans
        return ", ".join(sorted(set(plans.values()))) or "resident"


_MIDDLE = Aim(face=(0.5, 0.5), zoom=1.0)


def _finished(job: _Job, made: _Made) -> Finished:
    before = [None, *made.takes]
    prints = [take.fingerprint(one) for one, take in zip(before, made.takes, strict=False)]
    members = made.cast.values()
    motions = [take.motion for take in made.takes if take.motion is not None]
    return Finished(
        folder=job.context.workdir,
        clips=tuple(made.clips),
        pictures=tuple(take.file for take in made.takes),
        characters=tuple(member.file for member in members if member.file is not None),
        motions=tuple(motions),
        record=FilmRecord(settings=job.settings, cast=records_of(made.cast), clips=tuple(prints)),
        settings=job.settings,
        plan=job.plan,
        label=job.label,
        seed=job.context.seed,
    )
