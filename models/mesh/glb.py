"""Meshes as GLB (binary glTF 2.0), which browsers, phones and Blender open.

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html: Y is up, colours of vertices are linear
light, and a mesh without a material would be metal.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from models.media.encoding.base import FilmLabel
from models.media.png import AI_SOURCE_TYPE
from models.mesh.mesh import Mesh, linear_to_srgb, srgb_to_linear, vertex_normals


class UnreadableMesh(ValueError):
    """The file is no GLB, or holds no coloured triangles."""


def encode_glb(mesh: Mesh, label: FilmLabel) -> bytes:
    """``mesh``, its largest extent 1 and its middle at the origin, with smooth normals.

    The AI label stands in the asset's XMP packet (extension ``KHR_xmp_json_ld``) and its
    ``copyright``. Colours keep 8 bits of linear light: dark ones lose a little.
    """

    unit = mesh.normalized()
    light = (srgb_to_linear(unit.colors) * 255).round().astype(np.uint8)
    solid = trimesh.Trimesh(
        unit.vertices,
        unit.faces,
        vertex_colors=light,
        vertex_normals=vertex_normals(unit),  # trimesh's own would need scipy
        process=False,  # it would merge vertices and so change the mesh that was given
    )
    data = solid.export(
        file_type="glb",
        include_normals=True,
        tree_postprocessor=lambda tree: _add_label(tree, label),
    )
    assert isinstance(data, bytes)
    return data


def read_glb(source: bytes | Path) -> Mesh:
    """The mesh of a GLB file, its parts as one.

    Raises:
        UnreadableMesh: see there.
    """

    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False)
        parts = []
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            part = scene.geometry[name]
            place = trimesh.transform_points(part.vertices, transform)
            parts.append((place, part.faces, _vertex_colors(part)))
        vertices, faces, light = zip(*parts, strict=True)
    except Exception as error:  # trimesh has no error of its own: struct, json, key, value, index
        raise UnreadableMesh(f"this is no GLB file with coloured triangles: {error}") from error
    starts = np.cumsum([0] + [len(part) for part in vertices[:-1]])
    return Mesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate([f + start for f, start in zip(faces, starts, strict=True)]).astype(
            np.int32
        ),
        linear_to_srgb(np.concatenate(light) / 255),
    )


def _vertex_colors(part: Any) -> Any:
    """COLOR_0, uint8 (n, 3): trimesh keeps it with the attributes where there is a material."""

    visual = part.visual
    found = visual.vertex_attributes["color"] if visual.kind == "texture" else visual.vertex_colors
    light = np.asarray(found)[:, :3]
    if light.dtype != np.uint8:
        raise UnreadableMesh(f"the colours are {light.dtype}, not bytes")
    return light


def _add_label(tree: dict[str, Any], label: FilmLabel) -> None:
    tree["asset"] |= {
        "generator": label.software,
        "copyright": label.comment,
        "extensions": {"KHR_xmp_json_ld": {"packet": 0}},
    }
    tree.setdefault("extensions", {})["KHR_xmp_json_ld"] = {
        "packets": [
            {
                "@context": {
                    "dc": "http://purl.org/dc/elements/1.1/",
                    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
                },
                "@id": "",
                "dc:title": label.title,
                "Iptc4xmpExt:DigitalSourceType": AI_SOURCE_TYPE,
                "Iptc4xmpExt:AISystemUsed": f"{label.software} {label.model}",
            }
        ]
    }
    tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), "KHR_xmp_json_ld"]
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0
