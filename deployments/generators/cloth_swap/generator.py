"""Parse the person, cut out the garment, paint it in: garment by garment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from deployments.contract import Artifact, BadInput, Context
from deployments.generators.cloth_swap.spec import ClothSwapRequest, Garment
from deployments.generators.common.drawing import draw_with, drawing_notes, memory_plan
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.input_images import read_input_image
from deployments.generators.common.progress import ProgressReporter
from models.diffusion.inpainting import inpaint_region
from models.diffusion.requests import DiffusionRequest, PicturesBlocked, ResolvedParams
from models.diffusion.resolve import resolve_request
from models.inference.inference import Inference
from models.inference.operations import ParsePerson
from models.media.contact_sheet import side_by_side
from models.media.images import encode_image
from models.media.png import ImageMetadata
from models.vision import garments
from models.vision.garments import Category, Kind
from models.vision.human_parsing import HumanParse, RejectionReason

MIN_SIDE = 48
_SEEDS = 2**32


@dataclass(frozen=True)
class FittedGarment:
    """One garment, ready to be put on: its picture, and where it goes (bool, height x width)."""

    image: Image.Image
    mask: np.ndarray[Any, Any]
    category: Category
    kind: Kind
    description: str


class ClothSwapGenerator:
    """Implements ``deployments.contract.Generator``."""

    @translate_model_errors()
    def generate(self, request: ClothSwapRequest, context: Context) -> list[Artifact]:
        """``result-0.png``..., ``mask.png`` and ``before-after.png``.

        Raises:
            BadInput: the photo or a garment cannot be used; the code says which reason it is.
        """
        context.progress(0.0, "looking")
        person = read_input_image(context, "person_image")
        if min(person.size) < MIN_SIDE:
            raise BadInput(
                f"The photo is {person.width}x{person.height}: {MIN_SIDE} pixels a side are"
                " the least.", code="too_small",
            )  # fmt: skip
        parsed = context.inference.run(ParsePerson(person))
        worn = self._fit_garments(request, parsed, context)
        context.progress(0.1, "dressing")
        results, used = self._paint_garments(request, person, parsed, worn, context)
        context.progress(1.0, "encoding")
        return _save_results(person, worn, results, used, context)

    def _fit_garments(
        self, request: ClothSwapRequest, parsed: HumanParse, context: Context
    ) -> list[FittedGarment]:
        """The garments with their places; everything that can be refused is, before painting."""
        _check_usable(parsed, None)
        worn = []
        for number, garment in enumerate(request.garments):
            category = self._category(garment, parsed)
            if request.mask is not None:
                where = _read_mask(read_input_image(context, "mask"), parsed)
            else:
                _check_usable(parsed, category)
                where = garments.garment_mask(parsed, category, keep=request.keep_face_and_hands)
            place = f"garments.{number}.image"
            shown, kind = self._cut_garment(
                read_input_image(context, place, alpha=True), garment, category, context.inference
            )
            worn.append(FittedGarment(shown, where, category, kind, garment.description))
            context.progress(0.1 * (number + 1) / len(request.garments), "looking")
        context.note(garments=[{"category": one.category, "kind": one.kind} for one in worn])
        return worn

    def _category(self, garment: Garment, parsed: HumanParse) -> Category:
        if garment.category != "auto":
            return garment.category
        found = garments.worn_garment_category(parsed)
        if found is None:
            raise _unusable_input(RejectionReason.GARMENT_NOT_FOUND)
        return found

    def _cut_garment(
        self, picture: Image.Image, garment: Garment, category: Category, inference: Inference
    ) -> tuple[Image.Image, Kind]:
        if garment.kind == "flat":
            return garments.extract_flat_garment(picture), "flat"
        plain = picture.convert("RGB")
        parsed = inference.run(ParsePerson(plain))
        kind = garment.kind if garment.kind != "auto" else garments.garment_photo_kind(parsed)
        if kind == "flat":
            return garments.extract_flat_garment(picture), "flat"
        _check_usable(parsed, None, "garment picture: ")
        # Somebody in a dress shows one piece, whatever it is to replace.
        shows = garments.worn_garment_category(parsed) if garment.category == "auto" else category
        return garments.extract_worn_garment(plain, parsed, shows or category), "worn"

    def _paint_garments(
        self,
        request: ClothSwapRequest,
        person: Image.Image,
        parsed: HumanParse,
        worn: list[FittedGarment],
        context: Context,
    ) -> tuple[dict[int, Image.Image], ResolvedParams]:
        """The person by number, once for each of ``request.n``, and what they were painted with.

        Those that a safety checker blanked are left out, and not charged.
        """

        inference, results = context.inference, dict.fromkeys(range(request.n), person)
        each = 0.9 / (len(worn) * request.n)
        for turn, wear in enumerate(worn):
            mask = Image.fromarray(wear.mask.astype("uint8") * 255)
            for number in list(results):
                since = 0.1 + each * (turn * request.n + number)
                progress = ProgressReporter(context, "dressing", since=since, until=since + each)
                wanted = DiffusionRequest(
                    prompt=wear.description,
                    seed=(context.seed + number) % _SEEDS,
                    steps=request.steps,
                    guidance=request.guidance,
                    image=results[number],
                    mask=mask,
                    garment=wear.image,
                )
                draw = draw_with(inference, progress.callback("dressing"))
                try:
                    (results[number],) = inpaint_region(
                        inference.profile, draw, wanted, _person_box(parsed)
                    )
                except PicturesBlocked:
                    del results[number]
                    if not results:
                        raise
        if len(results) < request.n:
            context.note(blocked=[number for number in range(request.n) if number not in results])
            context.charge_only(len(results) / request.n)
        used = resolve_request(inference.profile, replace(wanted, width=None, height=None))
        context.note(
            **drawing_notes(used),
            seed=context.seed,
            memory_plan=memory_plan(inference, wanted),
        )
        return results, used


def _save_results(
    person: Image.Image,
    worn: list[FittedGarment],
    results: dict[int, Image.Image],
    used: ResolvedParams,
    context: Context,
) -> list[Artifact]:

    everywhere = np.logical_or.reduce([wear.mask for wear in worn])
    last = max(results)
    mask = Image.fromarray(everywhere.astype(np.uint8) * 255)
    files = [(n, f"result-{n}.png", "image", one) for n, one in results.items()]
    files.append((last, "mask.png", "mask", mask))
    strip = side_by_side([person, *results.values()])
    files.append((last, "before-after.png", "comparison", strip))
    made = []
    for number, name, kind, picture in files:
        path = context.workdir / name
        label = ImageMetadata(
            prompt=" ".join(wear.description for wear in worn).strip(),
            negative_prompt="",
            seed=(context.seed + number) % _SEEDS,
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
        )
        path.write_bytes(encode_image(picture, label, "png"))
        made.append(Artifact(path, kind, "image/png", width=picture.width, height=picture.height))
    return made


def _check_usable(parsed: HumanParse, category: Category | None, place: str = "") -> None:
    reason = parsed.rejection_reason(category)
    if reason is not None:
        raise _unusable_input(reason, place)


def _unusable_input(reason: RejectionReason, place: str = "") -> BadInput:
    words = f"{place}{reason.message}"
    return BadInput(f"{words[0].upper()}{words[1:]}.", code=reason.value)


def _read_mask(mask: Image.Image, parsed: HumanParse) -> np.ndarray[Any, Any]:

    high, wide = parsed.labels.shape
    where = np.asarray(mask.convert("L").resize((wide, high), 0)) >= 128
    if not where.any():
        raise BadInput("The mask is empty: paint white what is to be replaced.", code="mask_empty")
    return where


def _person_box(parsed: HumanParse) -> tuple[int, int, int, int]:
    """The box around the person."""

    person = parsed.labels != parsed.names.index("background")
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
