"""Read the pictures that a request names."""

from __future__ import annotations

from PIL.Image import Image

from deployments.contract import Context
from deployments.generators.common.errors import translate_model_errors
from models.media.images import read_image


def read_input_image(context: Context, name: str, *, alpha: bool = False) -> Image:
    """The picture given at ``name``, upright: RGB, or RGBA with ``alpha``.

    Raises:
        BadInput: it cannot be read; ``code`` is ``unreadable_image``.
    """
    with translate_model_errors(name):
        return read_image(context.inputs[name], alpha=alpha)
