"""Films of one thing turning, or of a camera moving through a photo."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL.Image import Image

from deployments.contract import Artifact, BadInput, Context
from deployments.generators.common.drawing import drawing_notes, memory_plan
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.input_images import read_input_image
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.video3d.camera_views import camera_path, turntable_orbit, turntable_view
from deployments.generators.video3d.film import FilmJob, write_film
from deployments.generators.video3d.mesh import MeshBuilder, ShapeOptions
from deployments.generators.video3d.photo import depth_image, film_size, fit_photo
from deployments.generators.video3d.spec import TURNTABLE_SIDE, Video3DRequest
from models.diffusion.requests import DiffusionRequest
from models.diffusion.resolve import resolve_request
from models.diffusion.sizes import size_of_aspect
from models.inference.operations import Draw
from models.media.encoding.base import FilmLabel
from models.media.png import ImageMetadata, encode_png
from models.mesh.glb import encode_glb
from models.mesh.mesh import Mesh
from models.mesh.topology import count_open_edges
from models.mesh.turntable import turntable_frames
from models.parallax.render import ParallaxScene, parallax_frames
from models.profiles.load import Capability

MIN_SIDE = 32
# Where the parts of a job end.
DRAWN, MADE, FILMED = 0.25, 0.4, 0.98
_LAYERS = 8  # about as many as a photo is cut into


class Video3DGenerator:
    """Implements ``deployments.contract.Generator``."""

    @translate_model_errors()
    def generate(self, request: Video3DRequest, context: Context) -> list[Artifact]:
        """``film.*`` and ``poster.*``; ``mesh.glb`` of a turntable, ``depth.png`` of a parallax;
        ``picture.png`` if a prompt was drawn."""
        context.progress(0.0, "looking")
        if request.mode == "turntable":
            return self._make_turntable(request, context)
        return self._make_parallax(request, context)

    def _make_turntable(self, request: Video3DRequest, context: Context) -> list[Artifact]:
        prompt, builder = request.prompt, MeshBuilder(context.inference)
        if prompt is not None and builder.needs_image:
            drawn = self._draw(request, _with_plain_background(prompt), 1.0, context)
            picture: Image | None = drawn
        else:
            drawn, picture = None, self._read_image(request, context, alpha=True)
        metadata = self._metadata(request, builder.model.name, context)
        options = request.turntable
        wish = ShapeOptions(
            prompt=prompt,
            picture=picture,
            detail=options.detail if options is not None else "standard",
            seed=context.seed,
            steps=request.steps,
        )
        shaping = ProgressReporter(context, "shaping", since=DRAWN, until=MADE)
        mesh, ground = builder.build(wish, lambda done, total: shaping.update(done / total))
        context.note(
            mesh=_mesh_facts(mesh),
            mesh_model=builder.model.name,
            ground=ground,
            memory_plan=_memory_plan("mesh", drawn is not None, context),
        )
        glb = context.workdir / "mesh.glb"
        glb.write_bytes(encode_glb(mesh, FilmLabel(metadata.prompt or "A thing", metadata.model)))
        context.progress(MADE, "filming")
        size = _turntable_size(request)
        filming = FilmJob(request, metadata, since=MADE, until=FILMED)
        frames = turntable_frames(mesh, turntable_view(request, size), turntable_orbit(request))
        made = write_film(filming, frames, context)
        made.append(Artifact(glb, "mesh", "model/gltf-binary"))
        return self._with_picture(made, drawn, metadata, context)

    def _make_parallax(self, request: Video3DRequest, context: Context) -> list[Artifact]:

        drawn: Image | None = None
        if request.prompt is not None:
            aspect = request.width / request.height if request.width and request.height else 1.0
            drawn = self._draw(request, request.prompt, aspect, context)
        photo = drawn or self._read_image(request, context)
        assert photo is not None
        builder = MeshBuilder(context.inference)
        depth = context.inference.profile.model(Capability.DEPTH)
        metadata = self._metadata(request, depth.name, context)
        width, height = film_size(photo, request.width, request.height)
        if min(width, height) < MIN_SIDE:
            raise BadInput(
                f"The film would be {width}x{height}: give a photo that is less long and narrow.",
                code="too_small",
            )
        picture, scale = fit_photo(photo, width, height)
        context.progress(DRAWN, "looking")
        near = builder.estimate_nearness(picture)
        context.note(
            depth_model=depth.name, memory_plan=_memory_plan("depth", drawn is not None, context)
        )
        cutting = ProgressReporter(context, "cutting", since=DRAWN, until=MADE)
        cutting.update(0.0)
        layers = 0

        def on_layer() -> None:
            nonlocal layers
            layers += 1
            cutting.update(min(1.0, layers / _LAYERS))

        cameras = camera_path(request).camera_positions(request.frames)
        scene = ParallaxScene(
            np.asarray(picture),
            near,
            cameras,
            focus=request.camera.focus if request.camera is not None else 0.0,
            edge_width=max(2, math.ceil(0.8 * scale)),
            on_layer=on_layer,
        )
        context.note(layers=len(scene.layers), enlarged_by=round(scene.overscan, 4))
        filming = FilmJob(request, metadata, since=MADE, until=FILMED, poster=request.frames // 2)
        made = write_film(filming, parallax_frames(scene, cameras), context)
        path = context.workdir / "depth.png"
        path.write_bytes(encode_png(depth_image(near), metadata))
        made.append(Artifact(path, "depth", "image/png", width, height))
        return self._with_picture(made, drawn, metadata, context)

    def _draw(self, request: Video3DRequest, prompt: str, aspect: float, context: Context) -> Image:
        inference, profile = context.inference, context.inference.profile
        width, height = size_of_aspect(profile, Capability.TEXT_TO_IMAGE, aspect)
        wanted = DiffusionRequest(
            prompt=prompt,
            seed=context.seed,
            width=width,
            height=height,
            steps=request.steps,
            guidance=request.guidance,
        )
        used = resolve_request(profile, wanted)
        context.note(**drawing_notes(used))
        progress = ProgressReporter(context, "drawing", until=DRAWN)
        (picture,) = inference.run(Draw(wanted), progress.callback("drawing"))
        context.preview(picture)
        return picture

    def _read_image(
        self, request: Video3DRequest, context: Context, *, alpha: bool = False
    ) -> Image | None:
        if request.image is None:
            return None
        picture = read_input_image(context, "image", alpha=alpha)
        if min(picture.size) < MIN_SIDE:
            raise BadInput(
                f"The image is {picture.width}x{picture.height}: {MIN_SIDE} pixels a side are"
                " the least.", code="too_small",
            )  # fmt: skip
        return picture

    def _metadata(self, request: Video3DRequest, maker: str, context: Context) -> ImageMetadata:
        """What every file tells; and the note of what was used."""
        model, builder = maker, MeshBuilder(context.inference)
        steps, guidance = builder.steps(request.steps), 0.0
        if request.mode == "parallax":
            steps = 0
        if request.prompt is not None and (request.mode == "parallax" or builder.needs_image):
            used = resolve_request(
                context.inference.profile,
                DiffusionRequest(prompt="", seed=0, steps=request.steps, guidance=request.guidance),
            )
            model, steps, guidance = f"{used.model} + {maker}", used.steps, used.guidance
        context.note(model=model, seed=context.seed)
        return ImageMetadata(request.prompt or "", "", context.seed, model, steps, guidance)

    def _with_picture(
        self,
        made: list[Artifact],
        drawn: Image | None,
        metadata: ImageMetadata,
        context: Context,
    ) -> list[Artifact]:
        if drawn is not None:
            path = context.workdir / "picture.png"
            path.write_bytes(encode_png(drawn, metadata))
            made.append(Artifact(path, "image", "image/png", drawn.width, drawn.height))
        context.progress(1.0, "saving")
        return made


def _memory_plan(key: str, drawn: bool, context: Context) -> str:
    """How the model ``key`` is held, or if it has no weights the one that has ``drawn``."""
    plans = context.inference.memory_plans()
    if key not in plans and drawn:
        return memory_plan(context.inference, DiffusionRequest(prompt="", seed=0))
    return plans.get(key, "no weights")


def _with_plain_background(prompt: str) -> str:
    """A thing is cut out best before a plain ground of another colour."""
    words = prompt.lower()
    if "background" in words:
        return prompt
    return f"{prompt} on a {'black' if 'white' in words else 'white'} background"


def _turntable_size(request: Video3DRequest) -> tuple[int, int]:
    width = request.width or request.height or TURNTABLE_SIDE
    return width, request.height or width


def _mesh_facts(mesh: Mesh) -> dict[str, Any]:
    holes = count_open_edges(mesh)
    return {
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.faces),
        "open_edges": holes,
        "watertight": holes == 0,
        "extents": [round(float(extent), 4) for extent in mesh.normalized().extents],
    }
