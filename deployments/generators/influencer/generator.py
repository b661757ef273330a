"""A set of pictures of one person, each compared with the references and drawn again if need be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from PIL.Image import Image

from deployments.contract import Artifact, Context
from deployments.generators.common.drawing import DrawImages, draw_with, drawing_notes, memory_plan
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.progress import Aborted, ProgressReporter
from deployments.generators.common.sizes import crop_to_aspect, drawn_size
from deployments.generators.influencer.clip import speak, write_clip
from deployments.generators.influencer.outfits import can_repaint_outfits, repaint_outfit
from deployments.generators.influencer.persona import (
    Person,
    description_of,
    read_references,
    select_reference,
)
from deployments.generators.influencer.prompts import prompt_for, subject_of
from deployments.generators.influencer.sheet import add_likeness_chunk, contact_sheet
from deployments.generators.influencer.spec import InfluencerRequest, Shot
from models.diffusion.requests import DiffusionRequest, ResolvedParams
from models.diffusion.resolve import resolve_request
from models.inference.inference import Inference
from models.inference.operations import ComparePerson, LikenessThreshold
from models.media.png import ImageMetadata, encode_png
from models.media.subtitles import to_vtt
from models.profiles.load import Capability, Profile
from models.speech.speech import Speech
from models.vision.likeness import BestMatch, generate_until_similar

MAX_PARALLEL = 4
# Where the words name an outfit, the reference's own must not win: at full strength it did in
# three of five pictures of the tiny pack, and hair and skin were kept no better.
OUTFIT_IDENTITY_SCALE = 0.7
# Shares of the progress.
LOOKED, SPOKEN, FILM_FROM, DRAWN = 0.03, 0.06, 0.8, 0.97


@dataclass(frozen=True)
class _ImageSet:
    """What all pictures of a job share."""

    request: InfluencerRequest
    person: Person
    threshold: float
    image_requests: tuple[DiffusionRequest, ...]


class InfluencerGenerator:
    """Implements ``deployments.contract.Generator``; pictures of all jobs share denoising steps."""

    @translate_model_errors()
    def generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        """``image-N.png`` in order, ``sheet.png``, and for a clip ``clip.mp4`` (``clip.vtt``)."""
        return self._generate(request, context)

    def _generate(self, request: InfluencerRequest, context: Context) -> list[Artifact]:
        context.progress(0.0, "looking")
        person, usual = _read_person(request, context)
        asked = request.likeness_threshold
        shared = _ImageSet(
            request,
            person,
            usual if asked is None else asked,
            tuple(_image_request(request, person, i, context) for i in range(len(request.images))),
        )
        first = shared.image_requests[0]
        used = resolve_request(context.inference.profile, first)
        context.note(
            **drawing_notes(used, scale="identity_strength"),
            seed=context.seed,
            reference=person.reference.name,
            references_left_out=person.rejected,
            likeness_threshold=shared.threshold,
        )
        speech = self._speak(request, context)
        drawn = self._draw_all(shared, context, FILM_FROM if request.clip else DRAWN)
        context.note(memory_plan=memory_plan(context.inference, first))
        made = _save_pictures(shared, drawn, used, context)
        if request.clip is not None:
            pictures = [alike.image for alike in drawn]
            made += _save_clip(request, pictures, speech, used.model, context)
        context.progress(1.0, "saving")
        return made

    def _speak(self, request: InfluencerRequest, context: Context) -> Speech | None:
        if request.clip is None or request.clip.narration is None:
            return None
        context.progress(LOOKED, "speaking")
        speech = speak(
            request.clip,
            context.inference,
            lambda done: context.progress(LOOKED + (SPOKEN - LOOKED) * done, "speaking"),
        )
        if speech is not None:
            context.note(voice=speech.voice, voice_backend=speech.backend)
        return speech

    def _draw_all(self, shared: _ImageSet, context: Context, until: float) -> list[BestMatch]:
        """Every picture, up to four side by side; the first error stops the others."""
        pictures = len(shared.image_requests)
        progress = ProgressReporter(
            context,
            "drawing",
            {_part(index): 1.0 for index in range(pictures)},
            since=SPOKEN,
            until=until,
        )

        def one(index: int) -> BestMatch:
            try:
                return self._draw_one(shared, index, context.inference, progress)
            except BaseException:
                progress.abort()
                raise

        with ThreadPoolExecutor(
            min(MAX_PARALLEL, pictures), thread_name_prefix="influencer"
        ) as pool:
            waiting = [pool.submit(one, index) for index in range(pictures)]
            failed = [error for future in waiting if (error := future.exception()) is not None]
        for error in sorted(failed, key=lambda error: isinstance(error, Aborted)):
            raise error
        return [future.result() for future in waiting]

    def _draw_one(
        self, shared: _ImageSet, index: int, inference: Inference, progress: ProgressReporter
    ) -> BestMatch:
        part = _part(index)
        progress.report(part, 0.0)
        shot = shared.request.images[index]
        tries = shared.request.max_redraws + 1
        attempts = count()

        def draw(wanted: DiffusionRequest) -> Image:
            number = next(attempts)

            def draw_until(since: float, until: float) -> DrawImages:
                shares = (number + since) / tries, (number + until) / tries
                return draw_with(inference, progress.callback(part, *shares))

            drawn = _draw_attempt(shared, shot, wanted, inference, draw_until)
            return crop_to_aspect(drawn, shot.aspect)

        def score(image: Image) -> float:
            progress.report(part, 0.0)
            return inference.run(ComparePerson(shared.person.reference_embedding, image))

        alike = generate_until_similar(
            draw, score, shared.image_requests[index], shared.threshold, tries
        )
        progress.report(part)
        progress.preview(alike.image)
        return alike


def _read_person(request: InfluencerRequest, context: Context) -> tuple[Person, float]:
    """The person, and the likeness that the installed model's pictures of one should reach."""
    inference = context.inference
    references = read_references(request.person, context)
    person = select_reference(references, description_of(request.person, context), inference)
    return person, inference.run(LikenessThreshold())


def _image_request(
    request: InfluencerRequest, person: Person, index: int, context: Context
) -> DiffusionRequest:
    shot, profile = request.images[index], context.inference.profile
    width, height = drawn_size(profile, shot.aspect)
    return DiffusionRequest(
        prompt=prompt_for(shot, person.description, request.style),
        negative_prompt=request.negative_prompt,
        seed=(context.seed + index) % 2**32,
        width=width,
        height=height,
        steps=request.steps,
        guidance=request.guidance,
        person=person.reference.image,
        scale=_identity_scale(request, shot, profile),
    )


def _identity_scale(request: InfluencerRequest, shot: Shot, profile: Profile) -> float | None:
    if request.identity_strength is not None or shot.outfit is None:
        return request.identity_strength
    usual = profile.capability_config(Capability.IDENTITY).scale
    return None if usual is None else OUTFIT_IDENTITY_SCALE * usual


def _draw_attempt(
    shared: _ImageSet,
    shot: Shot,
    wanted: DiffusionRequest,
    inference: Inference,
    draw_until: Callable[[float, float], DrawImages],
) -> Image:
    """One attempt at a shot: the person after the reference, and then the outfit onto it.

    ``draw_until`` returns what draws from one share of the attempt to another.
    """
    if shot.outfit is not None and not can_repaint_outfits(inference.profile):
        [image] = draw_until(0.0, 1.0)(wanted)
        return image
    bare = shot.model_copy(update={"outfit": None})
    prompt = prompt_for(bare, subject_of(shared.person.description), shared.request.style)
    alone = replace(wanted, prompt=prompt, scale=shared.request.identity_strength)
    if shot.outfit is None:
        [image] = draw_until(0.0, 1.0)(alone)
        return image
    [image] = draw_until(0.0, 0.5)(alone)
    dressed = repaint_outfit(image, shot.outfit, wanted, inference, draw_until(0.5, 1.0))
    if dressed is None:  # nobody to dress: the words must do
        [dressed] = draw_until(0.5, 1.0)(wanted)
    return dressed


def _part(index: int) -> str:
    return f"picture {index + 1}"


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
                "head_found": alike.head_found,
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
