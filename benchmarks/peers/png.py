"""A picture as it is sent."""

from __future__ import annotations

import io
from typing import Any


def png(image: Any) -> bytes:
    """Encode a PIL picture as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
