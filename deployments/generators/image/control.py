"""The map that a picture is drawn along: given, or made from a picture."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from deployments.contract import BadInput
from deployments.generators.image.spec import Control
from models.inference.inference import Inference
from models.inference.operations import EstimateDepth
from models.profiles.load import Capability

_CANNY_THRESHOLDS = (
    100,
    200,
)  # Canny 1986; the thresholds that ControlNet's edge models were trained with


def control_map(
    given: Image.Image,
    control: Control,
    size: tuple[int, int],
    inference: Inference,
) -> Image.Image:
    """The map of ``control``, RGB, as large as the picture will be (width, height).

    Raises:
        BadInput: the profile's control model does not follow such maps.
    """
    followed = inference.profile.capability_config(Capability.CONTROL).controls
    if control.kind not in followed:
        raise BadInput(
            f"The installed model does not draw along {control.kind}, but along"
            f" {', '.join(followed)}.",
            code="control_not_supported",
        )

    picture = given.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if control.made == "given":
        return picture
    shown = _canny_edges(picture) if control.kind == "edges" else _depth_map(picture, inference)
    return Image.fromarray(shown).convert("RGB")


def _canny_edges(picture: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:

    return np.asarray(cv2.Canny(np.asarray(picture.convert("L")), *_CANNY_THRESHOLDS), np.uint8)


def _depth_map(
    picture: Image.Image, inference: Inference
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    near = inference.run(EstimateDepth(picture))
    return np.asarray(np.clip(near, 0, 1) * 255).round().astype(np.uint8)
