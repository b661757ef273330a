"""Encode meshes as GLB (binary glTF 2.0), which browsers, phones and Blender open.

The format is https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html: Y is up, vertex colors are
linear light, and a mesh without a material would render as metal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh

from models.media.encoding.base import FilmLabel
from models.media.png import AI_SOURCE_TYPE
from models.mesh.mesh import Mesh, srgb_to_linear
from models.mesh.topology import vertex_normals


def encode_glb(mesh: Mesh, label: FilmLabel) -> bytes:
    """Encode ``mesh``, scaled to a largest extent of 1 around the origin, with smooth normals.

    The AI label is written to the asset's XMP packet (extension ``KHR_xmp_json_ld``) and its
    ``copyright``. Colors are stored as 8 bits of linear light, so dark ones lose some precision.
    """

    unit = mesh.normalized()
    light = (srgb_to_linear(unit.colors) * 255).round().astype(np.uint8)
    solid = trimesh.Trimesh(
        unit.vertices,
        unit.faces,
        vertex_colors=light,
        vertex_normals=vertex_normals(unit),  # trimesh's own weight faces by their angles
        process=False,  # it would merge vertices and so change the mesh that was given
    )
    data = solid.export(
        file_type="glb",
        include_normals=True,
        tree_postprocessor=lambda tree: _add_label(tree, label),
    )
    assert isinstance(data, bytes)
    return data


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
