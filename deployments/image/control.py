"""The map that a picture is drawn along: given, or made from a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deployments.contract import BadInput
from deployments.image.spec import Control
from models.depth import DepthEstimator
from models.profiles import Capability, Profile
from models.residency import Residency

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_EDGES = (100, 200)  # Canny 1986; the thresholds that ControlNet's edge models were trained with


def control_map(
    given: Image, control: Control, size: tuple[int, int], profile: Profile, residency: Residency
) -> Image:
    """The map of ``control``, RGB, as large as the picture will be (width, height).

    Raises:
        BadInput: the profile's control model does not follow such maps.
    """
    followed = profile.use(Capability.CONTROL).controls
    if control.kind not in followed:
        raise BadInput(
            f"The installed model does not draw along {control.kind}, but along"
            f" {', '.join(followed)}.",
            code="control_not_supported",
        )
    from PIL import Image as Pillow

    picture = given.convert("RGB").resize(size, Pillow.Resampling.LANCZOS)
    if control.made == "given":
        return picture
    shown = _edges(picture) if control.kind == "edges" else _depth(picture, profile, residency)
    return Pillow.fromarray(shown).convert("RGB")


def _edges(picture: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    import cv2
    import numpy as np

    return np.asarray(cv2.Canny(np.asarray(picture.convert("L")), *_EDGES), np.uint8)


def _depth(
    picture: Image, profile: Profile, residency: Residency
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    import numpy as np

    estimator = DepthEstimator.loadable(profile)
    near = residency.run(estimator, lambda loaded: loaded.estimate(picture))
    return np.asarray(np.clip(near, 0, 1) * 255).round().astype(np.uint8)
