"""From a prompt or a picture to a mesh, with what the profile has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from PIL import Image

from deployments.contract import BadInput
from models.inference.inference import Inference
from models.inference.operations import EstimateDepth, GenerateMesh
from models.mesh.mesh import Mesh, MeshRequest
from models.mesh.silhouette import mesh_from_silhouette
from models.profiles.load import Capability, CapabilityMissing, Model
from models.vision.cutout import NoSubjectFound, extract_subject, needs_depth, place_on_background

SILHOUETTE_LOADER = "silhouette"  # the built-in maker: an outline blown up
TEXT_TO_MESH_LOADER = "ShapEPipeline"
_SILHOUETTE_RESOLUTION = {"draft": 24, "standard": 40, "fine": 72}
_GRID = {"draft": 64, "standard": 128, "fine": 192}
_SMOOTH = 256  # pixels: a smaller picture is enlarged, so that its outline has no stairs
_MARGIN = 0.1  # around the thing, as Shap-E was shown its pictures


@dataclass(frozen=True)
class ShapeOptions:
    """What the mesh is made of and how; ``picture`` RGB or RGBA, or else ``prompt``."""

    prompt: str | None
    picture: Image.Image | None
    detail: str
    seed: int
    steps: int | None


class MeshBuilder:
    """Makes meshes with the models of one profile; safe to use from several threads."""

    def __init__(self, inference: Inference) -> None:
        self._profile, self._inference = inference.profile, inference

    @property
    def model(self) -> Model:
        """What makes the mesh.

        Raises:
            CapabilityMissing: nothing does.
        """
        return self._profile.model(Capability.MESH)

    @property
    def needs_image(self) -> bool:
        """Whether a prompt is drawn first: only one kind of Shap-E takes words."""
        return self.model.loader != TEXT_TO_MESH_LOADER

    def steps(self, asked: int | None) -> int:
        """How many steps the mesh takes; 0 if it takes none."""
        if self.model.loader == SILHOUETTE_LOADER:
            return 0
        return asked or self._profile.capability_config(Capability.MESH).steps or 64

    def estimate_nearness(self, picture: Image.Image) -> np.ndarray[Any, Any]:
        """How near each pixel is; see :meth:`models.vision.depth.DepthEstimator.estimate_nearness`.

        Raises:
            CapabilityMissing: the profile has no depth model.
        """
        return self._inference.run(EstimateDepth(picture.convert("RGB")))

    def build(self, wish: ShapeOptions, on_step: Callable[[int, int], None]) -> tuple[Mesh, str]:
        """The mesh, and how its picture's ground was told (empty if words alone made it).

        Raises:
            BadInput: nothing stands out of the picture, or the model takes words only.
            MeshError: nothing came of it.
        """
        if not self.needs_image:
            if wish.picture is not None:
                raise BadInput(
                    f"{self.model.name} makes things from words only: give a prompt.",
                    code="capability_missing",
                )
            return self._run_shap_e(wish, MeshRequest(prompt=wish.prompt), on_step), ""
        assert wish.picture is not None
        on_step(0, 1)
        picture = _enlarge(wish.picture)
        try:
            near = (
                self.estimate_nearness(picture)
                if needs_depth(picture) and self._has_depth_model()
                else None
            )
            on_step(0, 1)
            found = extract_subject(picture, near)
        except NoSubjectFound as error:
            words = str(error)
            raise BadInput(f"{words[:1].upper()}{words[1:]}.", code="nothing_found") from error
        on_step(0, 1)
        if self.model.loader == SILHOUETTE_LOADER:
            cells = _SILHOUETTE_RESOLUTION[wish.detail]
            # A pixel of the picture that was given mixes the thing with its ground, or two do.
            blur = max(2, ceil(1.5 * picture.width / wish.picture.width))
            mesh = mesh_from_silhouette(
                picture.convert("RGB"), found.mask, resolution=cells, edge_width=blur
            )
            return mesh, found.background_kind
        shown = place_on_background(picture, found.mask, (255, 255, 255), _MARGIN)
        return self._run_shap_e(wish, MeshRequest(image=shown), on_step), found.background_kind

    def _run_shap_e(
        self, wish: ShapeOptions, what: MeshRequest, on_step: Callable[[int, int], None]
    ) -> Mesh:
        use = self._profile.capability_config(Capability.MESH)
        usual = 15.0 if what.prompt is not None else 3.0
        wanted = replace(
            what,
            seed=wish.seed,
            steps=self.steps(wish.steps),
            guidance=use.guidance if use.guidance is not None else usual,
            grid=_GRID[wish.detail],
        )
        return self._inference.run(
            GenerateMesh(wanted), lambda event: on_step(event.done, event.total)
        )

    def _has_depth_model(self) -> bool:
        try:
            self._profile.model(Capability.DEPTH)
        except CapabilityMissing:
            return False
        return True


def _enlarge(picture: Image.Image) -> Image.Image:

    scale = _SMOOTH / max(picture.size)
    if scale <= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)
