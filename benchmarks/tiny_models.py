"""The tiny models in this process, for measurements and tests that need no service."""

from __future__ import annotations

from functools import cache

from models.inference.local import LocalInference
from models.profiles.load import load_profile


@cache
def tiny_inference() -> LocalInference:
    """Return the same models at every call: they are loaded once a process."""
    return LocalInference(load_profile("tiny"))
