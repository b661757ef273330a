"""Generate a mesh from a text or a picture with Shap-E.

Shap-E: Jun and Nichol, "Shap-E: Generating Conditional 3D Implicit Functions", 2023
(https://arxiv.org/abs/2305.02463).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import trimesh

from models.memory.loader import PIPELINE_PLANS, CapabilityModel
from models.mesh.errors import EmptyMesh, InvalidMeshRequest
from models.mesh.mesh import Mesh, MeshRequest, OnStep, linear_to_srgb
from models.profiles.load import Capability, Profile
from models.weights.load import load_model


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
        """Generate one mesh of unit size.

        ``on_step(done, steps)`` may raise to stop. While the surface is extracted it is still
        called, with all steps done.

        Raises:
            InvalidMeshRequest: the pipeline needs the other kind of request.
            EmptyMesh: the generated shape has no surface.
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


class _StepObserver:
    """Reports the steps of Shap-E through its progress bar, because it has no callback."""

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
    """Decode ``latents`` to a mesh; ``on_batch`` is called after each batch of points."""

    renderer = pipeline.shap_e_renderer
    hooks = [
        # diffusers divides by the number of vertices before anyone can ask for it.
        renderer.mesh_decoder.register_forward_hook(_require_surface),
        renderer.mlp.register_forward_hook(lambda *_: on_batch()),
    ]
    try:
        decoded = renderer.decode_to_mesh(latents, latents.device, grid_size=grid)
    finally:
        for hook in hooks:
            hook.remove()
    x, y, z = decoded.verts.float().cpu().numpy().T
    linear = np.stack([decoded.vertex_channels[c].float().cpu().numpy() for c in "RGB"], axis=1)
    vertices = np.stack([x, z, -y], axis=1).astype(np.float32)  # Shap-E has Z up
    faces = decoded.faces.cpu().numpy().astype(np.int32)
    if trimesh.Trimesh(vertices, faces, process=False).volume < 0:  # the faces look inwards
        faces = np.ascontiguousarray(faces[:, ::-1])
    return Mesh(vertices, faces, linear_to_srgb(linear))


def _require_surface(_module: Any, _inputs: Any, output: Any) -> None:
    if not len(output.verts):
        raise EmptyMesh(
            "the model's shape has no surface: try another seed, more steps or a plainer request"
        )
