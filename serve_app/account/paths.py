"""Where a file lies in an export."""

from __future__ import annotations

from db.tables import File
from serve_app.files.upload import safe_name

_FOLDERS = {"input": "uploads", "reference": "references", "output": "outputs"}


def archive_path(file: File) -> str:
    """Return a path such as ``files/outputs/job_01J.../image-0.file_01J....png``.

    The id keeps apart files of one name; what stands before it reads as the file's own name.
    """
    stem, dot, suffix = safe_name(file.name).rpartition(".")
    name = f"{stem}.{file.id}.{suffix}" if dot and stem else f"{safe_name(file.name)}.{file.id}"
    folder = _FOLDERS[file.purpose]
    return f"files/{folder}/{file.job_id}/{name}" if file.job_id else f"files/{folder}/{name}"
