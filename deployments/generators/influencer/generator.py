"""A set of pictures of one person, each compared with the references and drawn again if need be."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from PIL.Image import Image

from deployments.contract import Artifact, BadInput, Context, Runtime
from deployments.generators.common.model_environment import open_model_env
from deployments.generators.common.sizes import crop_to_aspect, drawn_size
from deployments.generators.influencer.clip import Voice, write_clip
from deployments.generators.influencer.outfits import OutfitPainter
from deployments.generators.influencer.persona import (
    Person,
    description_of,
    read_references,
    select_reference,
)
from deployments.generators.influencer.prompts import prompt_for, subject_of
from deployments.generators.influencer.sheet import add_likeness_chunk, contact_sheet
from deployments.generators.influencer.spec import InfluencerRequest, Shot
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import (
    DenoisingStep,
    DiffusionRequest,
    OnStep,
    ResolvedParams,
    SizeNotSupported,
)
from models.media.png import ImageMetadata, encode_png
from models.media.subtitles import to_vtt
from models.memory.budget import ModelDoesNotFit
from models.memory.cache import OutOfMemory
from models.profiles.load import Capability
from models.schemas.memory import MemoryStats
from models.speech.narrator import Speech
from models.vision.identity import BestMatch, IdentityScorer, generate_until_similar

MAX_PARALLEL = 4
PREVIEW_INTERVAL_S = 1.0
# Where the words name an outfit, the reference's own must not win: at full strength it did in
# three of five pictures of the tiny pack, and hair and skin were kept no better.
OUTFIT_IDENTITY_SCALE = 0.7
# Shares of the progress.
LOOKED, SPOKEN, FILM_FROM, DRAWN = 0.03, 0.06, 0.8, 0.97


class _Aborted(Exception):
    """Another picture of the set failed, whose error is the one to tell."""


@dataclass(frozen=True)
class _ImageSet:
    """What all pictures of a job share."""

    request: InfluencerRequest
    person: Person
    threshold: float
    image_requests: tuple[DiffusionRequest, ...]


class InfluencerGenerator:
    """Implements ``deployments.contract.Generator``; pictures of all jobs share denoising steps."""

    def load(self, runtime: Runtime) -> None:
        """Read the profile's weights (seconds; tens of seconds for large ones)."""
        self._profile, self._model_cache = open_model_env(runtime)
        identity = Capability.IDENTITY
        drawn = (identity, Capability.INPAINT)
        self._image_pipeline = ImagePipeline(self._profile, self._model_cache, capabilities=drawn)
        self._outfit_painter = OutfitPainter.for_profile(
            self._profile, self._image_pipeline, self._model_cache
        )
        self._identity_scorer = IdentityScorer.loadable(self._profile)
        self._voice = Voice(self._profile)
        self._image_pipeline.warm_up(identity)
        self._model_cache.run(self._identity_scorer, lambda _: None)

    def generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        """``image-N.png`` in order, ``sheet.png``, and for a clip ``clip.mp4`` (``clip.vtt``)."""
        try:
            return self._generate(request, context)
        except (OutOfMemory, ModelDoesNotFit) as error:
            raise BadInput(str(error), code="out_of_memory") from error
        except SizeNotSupported as error:
            raise BadInput(str(error), code="size_not_supported") from error

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._model_cache.stats()

    def _generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        context.progress(0.0, "looking")
        person, usual = self._read_person(request, context)
        asked = request.likeness_threshold
        shared = _ImageSet(
            request,
            person,
            usual if asked is None else asked,
            tuple(
                self._image_request(request, person, i, context.seed)
                for i in range(len(request.images))
            ),
        )
        used = self._image_pipeline.resolve(shared.image_requests[0])
        context.note(
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
            scheduler=used.scheduler,
            seed=context.seed,
            reference=person.reference.name,
            references_left_out=person.rejected,
            likeness_threshold=shared.threshold,
        )
        speech = self._speak(request, context)
        drawn = self._draw_all(shared, context, FILM_FROM if request.clip else DRAWN)
        context.note(memory_plan=self._image_pipeline.memory_plan(shared.image_requests[0]))
        made = _save_pictures(shared, drawn, used, context)
        if request.clip is not None:
            pictures = [alike.image for alike in drawn]
            made += _save_clip(request, pictures, speech, used.model, context)
        context.progress(1.0, "saving")
        return made

    def _read_person(self, request: InfluencerRequest, context: Context) -> tuple[Person, float]:
        """The person, and the likeness that the installed model's pictures of one should reach."""
        references = read_references(request.person, context)
        description = description_of(request.person, context)

        def work(likeness: IdentityScorer) -> tuple[Person, float]:
            return select_reference(references, description, likeness), likeness.threshold

        return self._model_cache.run(self._identity_scorer, work)

    def _image_request(
        self, request: InfluencerRequest, person: Person, index: int, seed: int
    ) -> DiffusionRequest:
        shot = request.images[index]
        width, height = drawn_size(self._profile, shot.aspect)
        return DiffusionRequest(
            prompt=prompt_for(shot, person.description, request.style),
            negative_prompt=request.negative_prompt,
            seed=(seed + index) % 2**32,
            width=width,
            height=height,
            steps=request.steps,
            guidance=request.guidance,
            person=person.reference.image,
            scale=self._strength(request, shot),
        )

    def _strength(self, request: InfluencerRequest, shot: Shot) -> float | None:
        if request.identity_strength is not None or shot.outfit is None:
            return request.identity_strength
        usual = self._profile.capability_config(Capability.IDENTITY).scale
        return None if usual is None else OUTFIT_IDENTITY_SCALE * usual

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

    def _draw_all(self, shared: _ImageSet, context: Context, until: float) -> list[BestMatch]:
        """Every picture, up to four side by side; the first error stops the others."""
        count, tries = len(shared.image_requests), shared.request.max_redraws + 1
        report = _Reporter(count, tries, context, until)

        def one(index: int) -> BestMatch:
            try:
                return self._draw_one(shared, index, report)
            except BaseException:
                report.stop()
                raise

        with ThreadPoolExecutor(min(MAX_PARALLEL, count), thread_name_prefix="influencer") as pool:
            waiting = [pool.submit(one, index) for index in range(count)]
            failed = [error for future in waiting if (error := future.exception()) is not None]
        for error in sorted(failed, key=lambda error: isinstance(error, _Aborted)):
            raise error
        return [future.result() for future in waiting]

    def _draw_one(self, shared: _ImageSet, index: int, report: _Reporter) -> BestMatch:
        report.begin(index)
        shot = shared.request.images[index]

        def draw(wanted: DiffusionRequest) -> Image:
            return crop_to_aspect(
                self._draw_attempt(shared, shot, wanted, report.attempt(index)), shot.aspect
            )

        def score(image: Image) -> float:
            report.check()
            return self._model_cache.run(
                self._identity_scorer,
                lambda likeness: likeness.similarity(shared.person.reference_embedding, image),
            )

        tries = shared.request.max_redraws + 1
        alike = generate_until_similar(
            draw, score, shared.image_requests[index], shared.threshold, tries
        )
        report.done(index, alike.image)
        return alike

    def _draw_attempt(
        self, shared: _ImageSet, shot: Shot, wanted: DiffusionRequest, attempt: _Attempt
    ) -> Image:
        """One attempt at a shot: the person after the reference, and then the outfit onto it."""
        if shot.outfit is not None and self._outfit_painter is None:
            [image] = self._image_pipeline.generate(wanted, attempt.steps(0.0, 1.0))
            return image
        bare = shot.model_copy(update={"outfit": None})
        prompt = prompt_for(bare, subject_of(shared.person.description), shared.request.style)
        alone = replace(wanted, prompt=prompt, scale=shared.request.identity_strength)
        half = 1.0 if shot.outfit is None else 0.5
        [image] = self._image_pipeline.generate(alone, attempt.steps(0.0, half))
        if shot.outfit is None or self._outfit_painter is None:
            return image
        dressed = self._outfit_painter.paint(image, shot.outfit, wanted, attempt.steps(half, 1.0))
        if dressed is None:  # nobody to dress: the words must do
            [dressed] = self._image_pipeline.generate(wanted, attempt.steps(half, 1.0))
        return dressed


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a picture, for telling how far it is."""

    report: _Reporter
    index: int
    number: int

    def steps(self, since: float, until: float) -> OnStep:
        """What is called after each step of that part of the attempt."""

        def told(step: DenoisingStep) -> None:
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
            raise _Aborted
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

    def stepped(self, index: int, attempts: float, step: DenoisingStep) -> None:
        """``attempts`` of the picture are behind it, the one at hand in part."""
        if self._stopped.is_set():
            raise _Aborted
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
            if now - self._shown_at < PREVIEW_INTERVAL_S:
                return False
            self._shown_at = now
            return True


def _save_pictures(
    shared: _ImageSet, drawn: list[BestMatch], used: ResolvedParams, context: Context
) -> list[Artifact]:
    notes: list[dict[str, Any]] = []
    made: list[Artifact] = []
    for index, (wanted, alike) in enumerate(zip(shared.image_requests, drawn, strict=True)):
        label = _label(wanted, used, alike.seed, wanted.prompt)
        path = context.workdir / f"image-{index}.png"
        path.write_bytes(add_likeness_chunk(encode_png(alike.image, label), alike.score))
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
    first = shared.image_requests[0]
    path = context.workdir / "sheet.png"
    words = "; ".join(wanted.prompt for wanted in shared.image_requests)
    path.write_bytes(encode_png(sheet, _label(first, used, first.seed, words)))
    return [*made, _picture(path, sheet)]


def _label(wanted: DiffusionRequest, used: ResolvedParams, seed: int, prompt: str) -> ImageMetadata:
    return ImageMetadata(
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

    film = write_clip(context.workdir / "clip.mp4", clip, pictures, speech, model, report)
    made = [
        Artifact(film.path, "video", "video/mp4", film.width, film.height, round(film.seconds, 3))
    ]
    if film.cues and clip.subtitles:
        path = context.workdir / "clip.vtt"
        path.write_text(to_vtt(film.cues), encoding="utf-8")
        made.append(Artifact(path, "subtitles", "text/vtt"))
    return made
