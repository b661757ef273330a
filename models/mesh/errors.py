"""Errors of meshes, apart from the code that needs trimesh to be loaded."""


class MeshError(ValueError):
    """No usable mesh can be made from the input."""


class EmptyMesh(MeshError):
    """The mesh has no surface: the model generated none, or the outline is empty."""


class InvalidMesh(MeshError):
    """The arrays have wrong shapes, dtypes or values."""


class InvalidMeshRequest(MeshError):
    """The request has a text but the pipeline needs a picture, or the reverse."""
