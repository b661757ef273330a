"""Solid shapes: what a mesh is, and how Shap-E makes one from words or a picture.

Shap-E: Jun and Nichol, "Shap-E: Generating Conditional 3D Implicit Functions", 2023
(https://arxiv.org/abs/2305.02463). Without its weights :mod:`models.mesh.silhouette` makes one from
an outline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import trimesh
from PIL.Image import Image

from models.memory.loader import PIPELINE_PLANS, CapabilityModel
from models.profiles.load import Capability, Profile
from models.weights.load import load_model

OnStep = Callable[[int, int], None]


class MeshError(ValueError):
    """No usable mesh can be made of what was given."""


class EmptyMesh(MeshError):
    """There is no surface: the model drew nothing, or the outline holds nothing."""


class InvalidMesh(MeshError):
    """The arrays do not fit each other."""


class InvalidMeshRequest(MeshError):
    """The pipeline takes a picture and was given words, or the other way round."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with a colour at each corner.

    ``vertices`` (n, 3) float32, Y up and facing +Z; ``faces`` (m, 3) int32, counter-clockwise seen
    from outside; ``colors`` (n, 3) uint8, sRGB.

    Raises:
        EmptyMesh: no face.
        InvalidMesh: a wrong shape, a corner that is not there, or a coordinate that is no number.
    """

    vertices: np.ndarray[Any, Any]
    faces: np.ndarray[Any, Any]
    colors: np.ndarray[Any, Any]

    def __post_init__(self) -> None:

        for name, dtype in (("vertices", np.float32), ("faces", np.int32), ("colors", np.uint8)):
            array = getattr(self, name)
            if array.ndim != 2 or array.shape[1] != 3 or array.dtype != dtype:
                raise InvalidMesh(
                    f"{name} must be {dtype.__name__} (n, 3), not {array.dtype} {array.shape}"
                )
        if not len(self.faces):
            raise EmptyMesh("the mesh has no face: try another prompt, picture or seed")
        if len(self.colors) != len(self.vertices):
            raise InvalidMesh(f"{len(self.vertices)} vertices have {len(self.colors)} colours")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise InvalidMesh("a face names a vertex that is not there")
        if not np.isfinite(self.vertices).all():
            raise InvalidMesh("a coordinate is no number")

    @property
    def extents(self) -> np.ndarray[Any, Any]:
        """Width, height and depth: float32 (3,)."""
        return self.vertices.max(axis=0) - self.vertices.min(axis=0)

    def normalized(self) -> Mesh:
        """The same, its middle at the origin, its largest extent 1."""
        middle = (self.vertices.max(axis=0) + self.vertices.min(axis=0)) / 2
        size = max(float(self.extents.max()), 1e-12)
        return Mesh((self.vertices - middle) / size, self.faces, self.colors)


@dataclass(frozen=True)
class MeshRequest:
    """Words or a picture (of one thing, on a plain ground), as the loaded pipeline takes them.

    ``grid`` is the resolution of the marching cubes: 128 for a result, 64 for a preview.
    """

    prompt: str | None = None
    image: Image | None = None
    seed: int = 0
    steps: int = 64
    guidance: float = 15.0  # 3.0 is usual for pictures
    grid: int = 128


class MeshGenerator(CapabilityModel):
    """A loaded Shap-E; several threads may call it, one runs at a time (its scheduler has a state).

    ``pipeline`` is a ``ShapEPipeline`` or ``ShapEImg2ImgPipeline``.
    """

    capability = Capability.MESH
    plans = PIPELINE_PLANS

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.takes_images = hasattr(pipeline, "image_encoder")
        self._lock = threading.Lock()

    @classmethod
    def read(cls, profile: Profile) -> MeshGenerator:
        """The Shap-E of ``profile``, on the CPU."""
        return cls(load_model(profile.model(Capability.MESH)))

    def generate(self, request: MeshRequest, on_step: OnStep | None = None) -> Mesh:
        """One mesh, of unit size. ``on_step(done, steps)`` may raise to stop; it goes on being
        called, with all steps done, while the surface is found.

        Raises:
            InvalidMeshRequest: the pipeline takes the other kind of request.
            EmptyMesh: the model's shape has no surface.
        """

        given = request.image if self.takes_images else request.prompt
        if given is None:
            wanted = "a picture" if self.takes_images else "a prompt"
            raise InvalidMeshRequest(f"this Shap-E makes a shape from {wanted}: give it one")
        with self._lock, _StepObserver(self.network, on_step):
            latents = self.network(
                given.convert("RGB") if self.takes_images else given,  # type: ignore[union-attr]
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                # On the CPU, so that a seed means the same shape on every card.
                generator=torch.Generator("cpu").manual_seed(request.seed),
                output_type="latent",
            ).images
            last = partial(on_step, request.steps, request.steps) if on_step else _nothing
            return _decode_mesh(self.network, latents[:1], request.grid, last).normalized()


class _StepObserver:  # reads as what it does: with _watched(pipeline, on_step)
    """Shap-E has no callback; its progress bar passes by every step."""

    def __init__(self, pipeline: Any, on_step: OnStep | None) -> None:
        self._pipeline, self._on_step = pipeline, on_step

    def __enter__(self) -> None:
        if self._on_step is not None:
            self._pipeline.progress_bar = self._steps

    def __exit__(self, *_: object) -> None:
        self._pipeline.__dict__.pop("progress_bar", None)

    def _steps(self, timesteps: Any) -> Any:
        assert self._on_step is not None
        for done, timestep in enumerate(timesteps):
            self._on_step(done, len(timesteps))
            yield timestep
        self._on_step(len(timesteps), len(timesteps))


def _nothing() -> None:
    pass


def _decode_mesh(pipeline: Any, latents: Any, grid: int, on_batch: Callable[[], None]) -> Mesh:
    """``on_batch`` is called as each batch of points was asked for, and may raise to stop."""

    renderer = pipeline.shap_e_renderer
    hooks = [
        # diffusers divides by the number of vertices before anyone can ask for it.
        renderer.mesh_decoder.register_forward_hook(_require_surface),
        renderer.mlp.register_forward_hook(lambda *_: on_batch()),
    ]
    try:
        found = renderer.decode_to_mesh(latents, latents.device, grid_size=grid)
    finally:
        for hook in hooks:
            hook.remove()
    x, y, z = found.verts.float().cpu().numpy().T
    linear = np.stack([found.vertex_channels[c].float().cpu().numpy() for c in "RGB"], axis=1)
    vertices = np.stack([x, z, -y], axis=1).astype(np.float32)  # Shap-E has Z up
    faces = found.faces.cpu().numpy().astype(np.int32)
    if trimesh.Trimesh(vertices, faces, process=False).volume < 0:  # the faces look inwards
        faces = np.ascontiguousarray(faces[:, ::-1])
    return Mesh(vertices, faces, linear_to_srgb(linear))


def _require_surface(_module: Any, _given: Any, found: Any) -> None:
    if not len(found.verts):
        raise EmptyMesh(
            "the model's shape has no surface: try another seed, more steps or a plainer request"
        )


def count_open_edges(mesh: Mesh) -> int:
    """How many edges lack a neighbour that runs along them the other way; 0: it is watertight."""

    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    shared = solid.edges[trimesh.grouping.group_rows(solid.edges_sorted, require_count=2)]
    closed = (shared[:, 0] == shared[:, 1, ::-1]).all(axis=1)
    return len(solid.edges_unique) - int(np.count_nonzero(closed))


def vertex_normals(mesh: Mesh) -> np.ndarray[Any, Any]:
    """Outward unit vectors (n, 3) float32: each vertex's faces, weighted by their areas."""

    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    across = trimesh.triangles.cross(corners)  # as long as twice the area
    normals = trimesh.geometry.mean_vertex_normals(len(mesh.vertices), mesh.faces, across)
    return np.asarray(normals, np.float32)


def linear_to_srgb(linear: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Light in 0..1 as sRGB bytes (IEC 61966-2-1)."""

    light = np.clip(linear, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255).round().astype(np.uint8)


def srgb_to_linear(colors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """sRGB bytes as light in 0..1, the inverse of :func:`linear_to_srgb`."""

    curve = colors / 255
    return np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
