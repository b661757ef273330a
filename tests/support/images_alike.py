"""Whether two runs made the same, where a last bit may differ.

Networks that take several requests in one batch round their sums in another order than those that
take one, so that a picture made beside others, of the same job or another, may differ from the same
made alone by a step or two of a channel in a few pixels; and a film, whose encoder looks at every
pixel, by little.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import trimesh
from PIL import Image
from scipy.spatial import KDTree

from deployments.contract import Artifact
from models.media.probe import read_frames
from scripts import gallery

# Of 255. Two dozen steps carry a last bit on, and a scene drawn after a picture of its character
# carries on what that picture was rounded to: up to 2 steps in 4 % of a scene's values were seen, a
# mean of 0.04. Another prompt, person or seed is apart by dozens of steps, in the mean by several.
FEW_STEPS = 6
HARDLY_A_STEP = 0.25
# Of a mesh's diagonal, which a corner may be away from the nearest of the other's. Rounding moves
# it by 1e-4, another seed by 3e-2.
HARDLY = 2e-3
# Of 255, the mean over a film or a frame of it: an encoder makes 0.2 of one step in a few pixels.
BARELY = 1.0
# Of 255, from a picture of docs/gallery.md: another kind of CPU rounds otherwise.
SOME_STEPS = 8.0


class Made(Protocol):
    """What a run made."""

    @property
    def artifacts(self) -> list[Artifact]: ...


def assert_same_but_for_rounding(one: Made, other: Made) -> None:
    """Every file of ``one`` is in ``other`` under the same name and shows or says the same."""
    for first, second in zip(one.artifacts, other.artifacts, strict=True):
        assert first.path.name == second.path.name
        if first.path.read_bytes() == second.path.read_bytes():
            continue
        if first.content_type.startswith("video/"):
            _assert_films_alike(first.path, second.path)
        elif first.kind == "poster":
            # It may be a frame of a film, after its encoder.
            apart = np.abs(_pixels(first.path) - _pixels(second.path)).mean()
            assert apart < BARELY, first.path.name
        elif first.content_type.startswith("image/"):
            _assert_pictures_alike(first.path, second.path)
        elif first.content_type == "model/gltf-binary":
            _assert_meshes_alike(first.path, second.path)
        elif first.path.name == "film.json":
            assert _without_fingerprints(first.path) == _without_fingerprints(second.path)
        else:
            raise AssertionError(f"{first.path.name} says something else")


def assert_as_in_the_gallery(name: str, drawn: Image.Image) -> None:
    """The picture of this name in ``docs/gallery`` shows the same."""
    shown = np.asarray(Image.open(gallery.PAGE.with_suffix("") / name).convert("RGB"), float)
    got = np.asarray(drawn.convert("RGB"), float)
    assert got.shape == shown.shape, name
    assert np.abs(got - shown).mean() < SOME_STEPS, name


def _assert_pictures_alike(one: Path, other: Path) -> None:
    apart = np.abs(_pixels(one) - _pixels(other))
    assert apart.max() <= FEW_STEPS, one.name
    assert apart.mean() < HARDLY_A_STEP, one.name


def _assert_films_alike(one: Path, other: Path) -> None:
    frames = list(zip(read_frames(one), read_frames(other), strict=True))
    apart = np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in frames])
    assert apart < BARELY, one.name


def _assert_meshes_alike(one: Path, other: Path) -> None:
    """A mesh is lifted from a picture: where that rounds, corners move and some come or go."""
    a, b = (trimesh.load_mesh(path) for path in (one, other))
    for mesh, others in ((a, b), (b, a)):
        apart, _ = KDTree(others.vertices).query(mesh.vertices)
        assert apart.max() < HARDLY * mesh.scale, one.name


def _without_fingerprints(path: Path) -> dict[str, Any]:
    """A story's record; it has a hash of the bytes that each clip was made from."""
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record | {"clips": len(record["clips"])}


def _pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA")).astype(np.int16)
