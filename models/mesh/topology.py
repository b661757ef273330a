"""What the triangles of a mesh have in common: open edges, normals of vertices."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh

from models.mesh.mesh import Mesh


def count_open_edges(mesh: Mesh) -> int:
    """Count the edges without an opposite edge of a neighboring face; 0: it is watertight."""

    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    shared = solid.edges[trimesh.grouping.group_rows(solid.edges_sorted, require_count=2)]
    closed = (shared[:, 0] == shared[:, 1, ::-1]).all(axis=1)
    return len(solid.edges_unique) - int(np.count_nonzero(closed))


def vertex_normals(mesh: Mesh) -> np.ndarray[Any, Any]:
    """Compute vertex normals: float32 (n, 3) outward unit vectors, area-weighted face means."""

    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    across = trimesh.triangles.cross(corners)  # as long as twice the area
    normals = trimesh.geometry.mean_vertex_normals(len(mesh.vertices), mesh.faces, across)
    return np.asarray(normals, np.float32)
