"""Parse the person, cut out the garment, paint it in: garment by garment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deployments.cloth_swap.spec import ClothSwapRequest, Garment
from deployments.contract import Artifact, BadInput, Context, Runtime
from deployments.progress import Progress
from deployments.studio import given_picture, open_studio, refusing
from models import garments
from models.diffusion.pictures import Pictures
from models.diffusion.region import repaint
from models.diffusion.requests import PictureRequest, Used
from models.garments import Category, Kind, NoGarment
from models.media.compare import side_by_side
from models.media.picture_out import encode_picture
from models.media.png import PictureMetadata
from models.memory_use import MemoryStats
from models.parsing import HumanParser, Parsed, Unusable
from models.profiles import Capability

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

LEAST_SIDE = 48
_SEEDS = 2**32


@dataclass(frozen=True)
class Wear:
    """One garment, ready to be put on: its picture, and where it goes (bool, height x width)."""

    shown: Image
    where: np.ndarray[Any, Any]
    category: Category
    kind: Kind
    words: str


class ClothSwapGenerator:
    """Implements ``deployments.contract.Generator``."""

    def load(self, runtime: Runtime) -> None:
        """Read the weights that paint; the parser's follow with the first job."""
        self._profile, self._residency = open_studio(runtime)
        drawn = (Capability.INPAINT, Capability.GARMENT)
        self._pictures = Pictures(self._profile, self._residency, capabilities=drawn)
        with refusing():
            self._pictures.warm(Capability.GARMENT)

    def generate(self, request: ClothSwapRequest, context: Context) -> list[Artifact]:
        """``result-0.png``..., ``mask.png`` and ``before-after.png``.

        Raises:
            BadInput: the photo or a garment cannot be used; the code says which reason it is.
        """
        with refusing({NoGarment: "garment_not_found"}):
            context.progress(0.0, "looking")
            person = given_picture(context, "person_image")
            if min(person.size) < LEAST_SIDE:
                raise BadInput(
                    f"The photo is {person.width}x{person.height}: {LEAST_SIDE} pixels a side are"
                    " the least.", code="too_small",
                )  # fmt: skip
            parsed = self._parsed(person)
            worn = self._worn(request, parsed, context)
            context.progress(0.1, "dressing")
            results, used = self._dressed(request, person, parsed, worn, context)
        context.progress(1.0, "encoding")
        return _saved(person, worn, results, used, context)

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._residency.stats()

    def _parsed(self, picture: Image) -> Parsed:
        parser = HumanParser.loadable(self._profile)
        return self._residency.run(parser, lambda loaded: loaded.parse(picture))

    def _worn(self, request: ClothSwapRequest, parsed: Parsed, context: Context) -> list[Wear]:
        """The garments with their places; everything that can be refused is, before painting."""
        _usable(parsed, None)
        worn = []
        for number, garment in enumerate(request.garments):
            category = self._category(garment, parsed)
            if request.mask is not None:
                where = _given_mask(given_picture(context, "mask"), parsed)
            else:
                _usable(parsed, category)
                where = garments.region(parsed, category, keep=request.keep_face_and_hands)
            place = f"garments.{number}.image"
            shown, kind = self._shown(given_picture(context, place, alpha=True), garment, category)
            worn.append(Wear(shown, where, category, kind, garment.description))
            context.progress(0.1 * (number + 1) / len(request.garments), "looking")
        context.note(garments=[{"category": one.category, "kind": one.kind} for one in worn])
        return worn

    def _category(self, garment: Garment, parsed: Parsed) -> Category:
        if garment.category != "auto":
            return garment.category
        found = garments.worn_category(parsed)
        if found is None:
            raise _refused(Unusable.GARMENT_NOT_FOUND)
        return found

    def _shown(self, picture: Image, garment: Garment, category: Category) -> tuple[Image, Kind]:
        if garment.kind == "flat":
            return garments.cut_flat(picture), "flat"
        plain = picture.convert("RGB")
        parsed = self._parsed(plain)
        kind = garment.kind if garment.kind != "auto" else garments.kind_of(parsed)
        if kind == "flat":
            return garments.cut_flat(picture), "flat"
        _usable(parsed, None, "garment picture: ")
        # Somebody in a dress shows one piece, whatever it is to replace.
        shows = garments.worn_category(parsed) if garment.category == "auto" else category
        return garments.cut_worn(plain, parsed, shows or category), "worn"

    def _dressed(
        self,
        request: ClothSwapRequest,
        person: Image,
        parsed: Parsed,
        worn: list[Wear],
        context: Context,
    ) -> tuple[list[Image], Used]:
        """The person once for each of ``request.n``, and what they were painted with."""
        from PIL import Image as Pillow

        results = [person] * request.n
        each = 0.9 / (len(worn) * request.n)
        for turn, wear in enumerate(worn):
            mask = Pillow.fromarray(wear.where.astype("uint8") * 255)
            for number in range(request.n):
                since = 0.1 + each * (turn * request.n + number)
                progress = Progress(context, "dressing", 1, since=since, until=since + each)
                wanted = PictureRequest(
                    prompt=wear.words,
                    seed=(context.seed + number) % _SEEDS,
                    steps=request.steps,
                    guidance=request.guidance,
                    image=results[number],
                    mask=mask,
                    garment=wear.shown,
                )
                (results[number],) = repaint(self._pictures, wanted, progress.step, _figure(parsed))
        used = self._pictures.plan(replace(wanted, width=None, height=None))
        context.note(
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
            scheduler=used.scheduler,
            seed=context.seed,
            memory_plan=self._pictures.memory_plan(wanted),
        )
        return results, used


def _saved(
    person: Image, worn: list[Wear], results: list[Image], used: Used, context: Context
) -> list[Artifact]:
    import numpy as np
    from PIL import Image as Pillow

    everywhere = np.logical_or.reduce([wear.where for wear in worn])
    files = [(f"result-{number}.png", "image", one) for number, one in enumerate(results)]
    files.append(("mask.png", "mask", Pillow.fromarray(everywhere.astype(np.uint8) * 255)))
    files.append(("before-after.png", "comparison", side_by_side([person, *results])))
    made = []
    for number, (name, kind, picture) in enumerate(files):
        path = context.workdir / name
        label = PictureMetadata(
            prompt=" ".join(wear.words for wear in worn).strip(),
            negative_prompt="",
            seed=(context.seed + min(number, len(results) - 1)) % _SEEDS,
            model=used.model,
            steps=used.steps,
            guidance=used.guidance,
        )
        path.write_bytes(encode_picture(picture, label, "png"))
        made.append(Artifact(path, kind, "image/png", width=picture.width, height=picture.height))
    return made


def _usable(parsed: Parsed, category: Category | None, place: str = "") -> None:
    reason = parsed.unusable(category)
    if reason is not None:
        raise _refused(reason, place)


def _refused(reason: Unusable, place: str = "") -> BadInput:
    words = f"{place}{reason.message}"
    return BadInput(f"{words[0].upper()}{words[1:]}.", code=reason.value)


def _given_mask(mask: Image, parsed: Parsed) -> np.ndarray[Any, Any]:
    import numpy as np

    high, wide = parsed.labels.shape
    where = np.asarray(mask.convert("L").resize((wide, high), 0)) >= 128
    if not where.any():
        raise BadInput("The mask is empty: paint white what is to be replaced.", code="mask_empty")
    return where


def _figure(parsed: Parsed) -> tuple[int, int, int, int]:
    """The box around the person."""
    import numpy as np

    person = parsed.labels != parsed.names.index("background")
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
