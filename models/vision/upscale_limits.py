"""By how much pictures can be enlarged."""

from __future__ import annotations

FACTORS = (2, 4)


class UpscaleNotSupported(ValueError):
    """No upscaler has that scale factor or loader; the message lists those there are."""
