"""From a prompt or a picture to a mesh, with what the profile has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from deployments.contract import BadInput
from models.cutout import NothingFound, cut_out, needs_depth, on_plain
from models.depth import DepthEstimator
from models.mesh import Mesh, ShapeMaker, ShapeRequest
from models.mesh_outline import mesh_from_silhouette
from models.profiles import Capability, CapabilityMissing, Model, Profile
from models.residency import Loadable, Residency

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

OUTLINE = "silhouette"  # the built-in maker: an outline blown up
FROM_WORDS = "ShapEPipeline"
_CELLS = {"draft": 24, "standard": 40, "fine": 72}
_GRID = {"draft": 64, "standard": 128, "fine": 192}
_SMOOTH = 256  # pixels: a smaller picture is enlarged, so that its outline has no stairs
_MARGIN = 0.1  # around the thing, as Shap-E was shown its pictures


@dataclass(frozen=True)
class ShapeWish:
    """What the mesh is made of and how; ``picture`` RGB or RGBA, or else ``prompt``."""

    prompt: str | None
    picture: Image | None
    detail: str
    seed: int
    steps: int | None


class Shapes:
    """Makes meshes with the models of one profile; safe to use from several threads."""

    def __init__(self, profile: Profile, residency: Residency) -> None:
        self._profile, self._residency = profile, residency

    @property
    def model(self) -> Model:
        """What makes the mesh.

        Raises:
            CapabilityMissing: nothing does.
        """
        return self._profile.model(Capability.MESH)

    @property
    def wants_picture(self) -> bool:
        """Whether a prompt is drawn first: only one kind of Shap-E takes words."""
        return self.model.loader != FROM_WORDS

    def steps(self, asked: int | None) -> int:
        """How many steps the mesh takes; 0 if it takes none."""
        if self.model.loader == OUTLINE:
            return 0
        return asked or self._profile.use(Capability.MESH).steps or 64

    def near(self, picture: Image) -> np.ndarray[Any, Any]:
        """How near each pixel is; see :meth:`models.depth.DepthEstimator.estimate`.

        Raises:
            CapabilityMissing: the profile has no depth model.
        """
        depth = DepthEstimator.loadable(self._profile)
        plain = picture.convert("RGB")
        return self._residency.run(depth, lambda loaded: loaded.estimate(plain))

    def make(self, wish: ShapeWish, on_step: Callable[[int, int], None]) -> tuple[Mesh, str]:
        """The mesh, and how its picture's ground was told (empty if words alone made it).

        Raises:
            BadInput: nothing stands out of the picture, or the model takes words only.
            MeshError: nothing came of it.
        """
        if not self.wants_picture:
            if wish.picture is not None:
                raise BadInput(
                    f"{self.model.name} makes things from words only: give a prompt.",
                    code="capability_missing",
                )
            return self._shap_e(wish, ShapeRequest(prompt=wish.prompt), on_step), ""
        assert wish.picture is not None
        on_step(0, 1)
        picture = _enlarged(wish.picture)
        try:
            near = self.near(picture) if needs_depth(picture) and self._sees_depth() else None
            on_step(0, 1)
            found = cut_out(picture, near)
        except NothingFound as error:
            words = str(error)
            raise BadInput(f"{words[:1].upper()}{words[1:]}.", code="nothing_found") from error
        on_step(0, 1)
        if self.model.loader == OUTLINE:
            cells = _CELLS[wish.detail]
            # A pixel of the picture that was given mixes the thing with its ground, or two do.
            blur = max(2, ceil(1.5 * picture.width / wish.picture.width))
            mesh = mesh_from_silhouette(
                picture.convert("RGB"), found.mask, resolution=cells, blur=blur
            )
            return mesh, found.ground
        shown = on_plain(picture, found.mask, (255, 255, 255), _MARGIN)
        return self._shap_e(wish, ShapeRequest(image=shown), on_step), found.ground

    def _shap_e(
        self, wish: ShapeWish, what: ShapeRequest, on_step: Callable[[int, int], None]
    ) -> Mesh:
        model, use = self.model, self._profile.use(Capability.MESH)
        usual = 15.0 if what.prompt is not None else 3.0
        wanted = replace(
            what,
            seed=wish.seed,
            steps=self.steps(wish.steps),
            guidance=use.guidance if use.guidance is not None else usual,
            grid=_GRID[wish.detail],
        )
        maker = Loadable(
            "mesh",
            model.memory,
            lambda: ShapeMaker.read(self._profile),
            ShapeMaker.place,
            model.options.quantization,
        )
        return self._residency.run(maker, lambda loaded: loaded.make(wanted, on_step))

    def _sees_depth(self) -> bool:
        try:
            self._profile.model(Capability.DEPTH)
        except CapabilityMissing:
            return False
        return True


def _enlarged(picture: Image) -> Image:
    from PIL import Image as Pillow

    scale = _SMOOTH / max(picture.size)
    if scale <= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Pillow.Resampling.BICUBIC)
