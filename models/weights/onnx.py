"""Find the ONNX file of a model, and let nothing read another file than the pinned one."""

from __future__ import annotations

from pathlib import Path

from models.profiles.load import Model
from models.weights.hub import UnexpectedWeights, onnx_name, snapshot_folder
from models.weights.licenses import require_license
from models.weights.verify import file_sha256


def onnx_file(model: Model) -> Path:
    """Return the path of the ONNX file of ``model``, whose loader is one of ``ONNX_LOADERS``.

    Raises:
        NonCommercialWeights: see :func:`models.weights.licenses.require_license`.
        FileNotFoundError: it is missing (fetch it with ``atelier-admin models fetch``).
        UnexpectedWeights: it is not the file whose hash the profile names.
    """
    require_license(model)
    folder = Path(model.source) if model.local_path else snapshot_folder(model, None)
    path = folder / onnx_name(model)
    if not path.exists():
        raise FileNotFoundError(
            f"{model.name} is not on disk: atelier-admin models fetch {model.name}"
        )
    if file_sha256(path) != model.sha256:
        raise UnexpectedWeights(
            f"{path} is not the file of {model.name} that the profile names by its sha256"
        )
    return path
