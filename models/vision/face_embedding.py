"""Embed the face of a photographed person: YuNet finds it, SFace turns it into a vector.

YuNet: https://github.com/ShiqiYu/libfacedetection (MIT). SFace: https://arxiv.org/abs/2205.12010
(Apache-2.0). Both are ONNX files of the OpenCV zoo, and OpenCV runs them on the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from models.profiles.load import Model
from models.vision.human_parsing import MIN_FIGURE, RejectionReason
from models.weights.onnx import onnx_file

# OpenCV's samples ask for 0.9. A face turned to the side scores less, and a thing that is taken for
# a face costs one comparison, which it loses.
_MIN_SCORE = 0.7
# Longer sides, in pixels, at which faces are looked for, one after the other: YuNet was trained on
# faces of 10 to 300 pixels, and a portrait's is larger.
_SIDES = (640, 320)
_MIN_FACE = 24  # pixels across; SFace sees 112, and smaller faces all look alike


class YuNetSFace:
    """The face detector and the face recognizer of a profile; several threads may use them."""

    loader = "FaceRecognizerSF"
    # The cosine is OpenCV's documented one: https://docs.opencv.org/4.x/d0/dd4/tutorial_dnn_face.html
    decision_cosine, threshold = 0.363, 0.5

    def __init__(self, detector: Any, recognizer: Any) -> None:
        """``detector`` is a ``cv2.FaceDetectorYN``, ``recognizer`` a ``cv2.FaceRecognizerSF``."""
        self.networks: dict[str, Any] = {}  # nothing that a memory plan could move
        self._detector, self._recognizer = detector, recognizer
        self._lock = threading.Lock()  # both keep the picture at work on themselves

    @classmethod
    def read(cls, recognizer: Model, detector: Model) -> YuNetSFace:
        """Both networks.

        Raises:
            FileNotFoundError, UnexpectedWeights: see :func:`models.weights.onnx.onnx_file`.
        """
        side = _SIDES[0]
        return cls(
            cv2.FaceDetectorYN.create(str(onnx_file(detector)), "", (side, side), _MIN_SCORE),
            cv2.FaceRecognizerSF.create(str(onnx_file(recognizer)), ""),
        )

    def embed(self, picture: Image.Image) -> npt.NDArray[np.float32] | None:
        """Embed the largest face: a unit vector, float32 (128,); ``None`` if there is no face."""
        pixels = _bgr(picture)
        with self._lock:
            faces = self._faces(pixels)
            if not len(faces):
                return None
            aligned = self._recognizer.alignCrop(pixels, faces[0])
            vector = self._recognizer.feature(aligned)[0].astype(np.float32)
        unit: npt.NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return unit

    def rejection_reason(self, picture: Image.Image) -> RejectionReason | None:
        """Return why ``picture`` is unfit as a reference of one person, or ``None``."""
        with self._lock:
            faces = self._faces(_bgr(picture))
        if not len(faces):
            return RejectionReason.NO_FACE
        sizes = faces[:, 2] * faces[:, 3]
        if (sizes > MIN_FIGURE * sizes[0]).sum() > 1:
            return RejectionReason.SEVERAL_PEOPLE
        return RejectionReason.TOO_SMALL if faces[0, 2] < _MIN_FACE else None

    def _faces(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The faces, largest first: rows of box, five landmarks and score, float32 (n, 15)."""
        for small, scale in _scaled(pixels):
            self._detector.setInputSize((small.shape[1], small.shape[0]))
            _, faces = self._detector.detect(small)
            if faces is not None:
                faces[:, :14] /= scale
                largest_first = np.argsort(-faces[:, 2] * faces[:, 3])
                return np.asarray(faces[largest_first], np.float32)
        return np.zeros((0, 15), np.float32)


def _bgr(picture: Image.Image) -> npt.NDArray[np.uint8]:

    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])


def _scaled(pixels: npt.NDArray[np.uint8]) -> Iterator[tuple[Any, float]]:
    """``pixels`` at each size that faces are looked for at, and how much smaller that is."""
    longest = max(pixels.shape[:2])
    for side in _SIDES:
        if side < longest:
            scale = side / longest
            size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
            atleast = (max(size[0], 1), max(size[1], 1))
            yield cv2.resize(pixels, atleast, interpolation=cv2.INTER_AREA), scale
        elif side == _SIDES[0]:
            yield pixels, 1.0
