"""A set of pictures of one person, each compared with the references and drawn again if need be."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deployments.contract import Artifact, BadInput, Context, Runtime
from deployments.influencer.clip import Voice, make_film
from deployments.influencer.dressing import Dressing
from deployments.influencer.person import (
    Person,
    description_of,
    look_at,
    read_references,
)
from deployments.influencer.prompts import prompt_for, who
from deployments.influencer.shapes import cut, drawn_size
from deployments.influencer.sheet import contact_sheet, with_likeness
from deployments.influencer.spec import InfluencerRequest, Shot
from deployments.studio import open_studio
from models.diffusion.pictures import Pictures
from models.diffusion.requests import OnStep, PictureRequest, SizeNotSupported, Step, Used
from models.likeness import Alike, Likeness, draw_alike
from models.media.png import PictureMetadata, encode_png
from models.media.subtitles import to_vtt
from models.memory_use import MemoryStats
from models.profiles import Capability
from models.residency import OutOfMemory
from models.vram import DoesNotFit

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.speech import Speech

TOGETHER = 4
PREVIEW_EVERY_S = 1.0
# Where the words name an outfit, the reference's own must not win: at full strength it did in
# three of five pictures of the tiny pack, and hair and skin were kept no better.
DRESSED = 0.7
# Shares of the progress.
LOOKED, SPOKEN, FILM_FROM, DRAWN = 0.03, 0.06, 0.8, 0.97


class _Stopped(Exception):
    """Another picture of the set failed, whose error is the one to tell."""


@dataclass(frozen=True)
class _Set:
    """What all pictures of a job share."""

    request: InfluencerRequest
    person: Person
    threshold: float
    wanted: tuple[PictureRequest, ...]


class InfluencerGenerator:
    """Implements ``deployments.contract.Generator``; pictures of all jobs share denoising steps."""

    def load(self, runtime: Runtime) -> None:
        """Read the profile's weights (seconds; tens of seconds for large ones)."""
        self._profile, self._residency = open_studio(runtime)
        identity = Capability.IDENTITY
        drawn = (identity, Capability.INPAINT)
        self._pictures = Pictures(self._profile, self._residency, capabilities=drawn)
        self._dressing = Dressing.of(self._profile, self._pictures, self._residency)
        self._likeness = Likeness.loadable(self._profile)
        self._voice = Voice(self._profile)
        self._pictures.warm(identity)
        self._residency.run(self._likeness, lambda _: None)

    def generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        """``image-N.png`` in order, ``sheet.png``, and for a clip ``clip.mp4`` (``clip.vtt``)."""
        try:
            return self._generate(request, context)
        except (OutOfMemory, DoesNotFit) as error:
            raise BadInput(str(error), code="out_of_memory") from error
        except SizeNotSupported as error:
            raise BadInput(str(error), code="size_not_supported") from error

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._residency.stats()

    def _generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        context.progress(0.0, "looking")
        person, usual = self._look(request, context)
        asked = request.likeness_threshold
        shared = _Set(
            request,
            person,
            usual if asked is None else asked,
            tuple(
                self._wanted(request, person, i, context.seed) for i in range(len(request.images))
            ),
        )
        used = self._pictures.plan(shared.wanted[0])
        context.note(
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
            scheduler=used.scheduler,
            seed=context.seed,
            reference=person.reference.name,
            references_left_out=person.left_out,
            likeness_threshold=shared.threshold,
        )
        speech = self._speak(request, context)
        drawn = self._draw_all(shared, context, FILM_FROM if request.clip else DRAWN)
        context.note(memory_plan=self._pictures.memory_plan(shared.wanted[0]))
        made = _save_pictures(shared, drawn, used, context)
        if request.clip is not None:
            pictures = [alike.image for alike in drawn]
            made += _save_clip(request, pictures, speech, used.model, context)
        context.progress(1.0, "saving")
        return made

    def _look(self, request: InfluencerRequest, context: Context) -> tuple[Person, float]:
        """The person, and the likeness that the installed model's pictures of one should reach."""
        references = read_references(request.person, context)
        description = description_of(request.person, context)

        def work(likeness: Likeness) -> tuple[Person, float]:
            return look_at(references, description, likeness), likeness.threshold

        return self._residency.run(self._likeness, work)

    def _wanted(
        self, request: InfluencerRequest, person: Person, index: int, seed: int
    ) -> PictureRequest:
        shot = request.images[index]
        width, height = drawn_size(self._profile, shot.aspect)
        return PictureRequest(
            prompt=prompt_for(shot, person.description, request.style),
            negative_prompt=request.negative_prompt,
            seed=(seed + index) % 2**32,
            width=width,
            height=height,
            steps=request.steps,
            guidance=request.guidance,
            person=person.reference.picture,
            scale=self._strength(request, shot),
        )

    def _strength(self, request: InfluencerRequest, shot: Shot) -> float | None:
        if request.identity_strength is not None or shot.outfit is None:
            return request.identity_strength
        usual = self._profile.use(Capability.IDENTITY).scale
        return None if usual is None else DRESSED * usual

    def _speak(self, request: InfluencerRequest, context: Context) -> Speech | None:
        if request.clip is None or request.clip.narration is None:
            return None
        context.progress(LOOKED, "speaking")
        speech = self._voice.speak(
            request.clip,
            lambda done: context.progress(LOOKED + (SPOKEN - LOOKED) * done, "speaking"),
        )
        if speech is not None:
            context.note(voice=speech.voice, voice_backend=speech.backend)
        return speech

    def _draw_all(self, shared: _Set, context: Context, until: float) -> list[Alike]:
        """Every picture, up to four side by side; the first error stops the others."""
        count, tries = len(shared.wanted), shared.request.max_redraws + 1
        report = _Reporter(count, tries, context, until)

        def one(index: int) -> Alike:
            try:
                return self._draw_one(shared, index, report)
            except BaseException:
                report.stop()
                raise

        with ThreadPoolExecutor(min(TOGETHER, count), thread_name_prefix="influencer") as pool:
            waiting = [pool.submit(one, index) for index in range(count)]
            failed = [error for future in waiting if (error := future.exception()) is not None]
        for error in sorted(failed, key=lambda error: isinstance(error, _Stopped)):
            raise error
        return [future.result() for future in waiting]

    def _draw_one(self, shared: _Set, index: int, report: _Reporter) -> Alike:
        report.begin(index)
        shot = shared.request.images[index]

        def draw(wanted: PictureRequest) -> Image:
            return cut(self._drawn(shared, shot, wanted, report.attempt(index)), shot.aspect)

        def score(image: Image) -> float:
            report.check()
            return self._residency.run(
                self._likeness, lambda likeness: likeness.compare(shared.person.known, image)
            )

        tries = shared.request.max_redraws + 1
        alike = draw_alike(draw, score, shared.wanted[index], shared.threshold, tries)
        report.done(index, alike.image)
        return alike

    def _drawn(self, shared: _Set, shot: Shot, wanted: PictureRequest, attempt: _Attempt) -> Image:
        """One attempt at a shot: the person after the reference, and then the outfit onto it."""
        if shot.outfit is not None and self._dressing is None:
            [image] = self._pictures.generate(wanted, attempt.steps(0.0, 1.0))
            return image
        bare = shot.model_copy(update={"outfit": None})
        prompt = prompt_for(bare, who(shared.person.description), shared.request.style)
        alone = replace(wanted, prompt=prompt, scale=shared.request.identity_strength)
        half = 1.0 if shot.outfit is None else 0.5
        [image] = self._pictures.generate(alone, attempt.steps(0.0, half))
        if shot.outfit is None or self._dressing is None:
            return image
        dressed = self._dressing.dressed(image, shot.outfit, wanted, attempt.steps(half, 1.0))
        if dressed is None:  # nobody to dress: the words must do
            [dressed] = self._pictures.generate(wanted, attempt.steps(half, 1.0))
        return dressed


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a picture, for telling how far it is."""

    report: _Reporter
    index: int
    number: int

    def steps(self, since: float, until: float) -> OnStep:
        """What is called after each step of that part of the attempt."""

        def told(step: Step) -> None:
            done = since + (until - since) * step.number / step.total
            self.report.stepped(self.index, self.number + done, step)

        return told


class _Reporter:
    """How far the set is; called from several threads. Each call raises once the job is to stop."""

    def __init__(self, pictures: int, tries: int, context: Context, until: float) -> None:
        self._context, self._tries, self._until = context, tries, until
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._shown_at = time.monotonic()
        self._done = [0.0] * pictures
        self._attempts = [0] * pictures

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._told(None)

    def begin(self, index: int) -> None:
        self.check()
        self._told((index, 0.0))

    def done(self, index: int, image: Image) -> None:
        self.check()
        self._told((index, 1.0))
        self._context.preview(image)

    def attempt(self, index: int) -> _Attempt:
        """The picture's next attempt."""
        number, self._attempts[index] = self._attempts[index], self._attempts[index] + 1
        return _Attempt(self, index, number)

    def stepped(self, index: int, attempts: float, step: Step) -> None:
        """``attempts`` of the picture are behind it, the one at hand in part."""
        if self._stopped.is_set():
            raise _Stopped
        self._told((index, attempts / self._tries))
        if step.number < step.total and self._shows():
            self._context.preview(step.preview())

    def _told(self, news: tuple[int, float] | None) -> None:
        with self._lock:
            if news is not None:
                self._done[news[0]] = news[1]
            share = sum(self._done) / len(self._done)
        self._context.progress(SPOKEN + (self._until - SPOKEN) * share, "drawing")

    def _shows(self) -> bool:
        """Decoding a preview costs about a step; more than one a second would be dropped."""
        with self._lock:
            now = time.monotonic()
            if now - self._shown_at < PREVIEW_EVERY_S:
                return False
            self._shown_at = now
            return True


def _save_pictures(
    shared: _Set, drawn: list[Alike], used: Used, context: Context
) -> list[Artifact]:
    notes: list[dict[str, Any]] = []
    made: list[Artifact] = []
    for index, (wanted, alike) in enumerate(zip(shared.wanted, drawn, strict=True)):
        label = _label(wanted, used, alike.seed, wanted.prompt)
        path = context.workdir / f"image-{index}.png"
        path.write_bytes(with_likeness(encode_png(alike.image, label), alike.score))
        made.append(_picture(path, alike.image))
        notes.append(
            {
                "name": path.name,
                "likeness": round(alike.score, 4),
                "alike": alike.score >= shared.threshold,
                "tries": alike.tries,
                "seed": alike.seed,
                "prompt": wanted.prompt,
            }
        )
    context.note(images=notes)
    sheet = contact_sheet(
        [alike.image for alike in drawn], [alike.score for alike in drawn], shared.threshold
    )
    first = shared.wanted[0]
    path = context.workdir / "sheet.png"
    words = "; ".join(wanted.prompt for wanted in shared.wanted)
    path.write_bytes(encode_png(sheet, _label(first, used, first.seed, words)))
    return [*made, _picture(path, sheet)]


def _label(wanted: PictureRequest, used: Used, seed: int, prompt: str) -> PictureMetadata:
    return PictureMetadata(
        prompt=prompt,
        negative_prompt=wanted.negative_prompt,
        seed=seed,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )


def _picture(path: Any, image: Image) -> Artifact:
    return Artifact(path, "image", "image/png", width=image.width, height=image.height)


def _save_clip(
    request: InfluencerRequest,
    pictures: list[Image],
    speech: Speech | None,
    model: str,
    context: Context,
) -> list[Artifact]:
    clip = request.clip
    assert clip is not None

    def report(done: float) -> None:
        context.progress(FILM_FROM + (1 - FILM_FROM) * done, "filming")

    film = make_film(context.workdir / "clip.mp4", clip, pictures, speech, model, report)
    made = [
        Artifact(film.path, "video", "video/mp4", film.width, film.height, round(film.seconds, 3))
    ]
    if film.cues and clip.subtitles:
        path = context.workdir / "clip.vtt"
        path.write_text(to_vtt(film.cues), encoding="utf-8")
        made.append(Artifact(path, "subtitles", "text/vtt"))
    return made
