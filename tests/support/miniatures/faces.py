"""Miniatures of YuNet and SFace as ONNX files that OpenCV's own classes load and run.

They have the inputs and outputs of ``face_detection_yunet_2023mar.onnx`` and
``face_recognition_sface_2021dec.onnx``. A face is a magenta square to them, and a person is the
colors around it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from models.profiles.load import Capability, Model, Profile
from tests.support.miniatures.profile import entry

FACE = (255, 0, 255)
SIDE = 64  # pixels of the magenta square
_STRIDES = (8, 16, 32)
# Of YuNet's answer for each cell, in strides: center and size of the box (as logarithms), then
# right eye, left eye, nose tip, right and left corner of the mouth.
_BOX = (0.5, 0.5, np.log(3.0), np.log(3.5))
_LANDMARKS = (0.0, 0.2, 1.0, 0.2, 0.5, 0.6, 0.1, 1.0, 0.9, 1.0)


def face_profile(folder: Path) -> Profile:
    """A profile that compares people by the two miniatures, written to ``folder``."""
    models = {
        "sface": _entry("FaceRecognizerSF", folder, _sface()),
        "yunet": _entry("FaceDetectorYN", folder, _yunet()),
    }
    return Profile(
        name="miniature",
        title="A miniature",
        device="cpu",
        models=models,
        capabilities={Capability.LIKENESS: {"model": "sface", "parts": {"detector": "yunet"}}},
    )


def person(
    hair: tuple[int, int, int],
    *,
    size: tuple[int, int] = (320, 256),
    at: tuple[int, int] = (160, 128),
    side: int = SIDE,
) -> Image.Image:
    """A picture of a face whose middle is ``at``, before gray; ``hair`` is around it.

    ``hair`` must not be near magenta, or it is found, too.
    """
    image = Image.new("RGB", size, (128, 128, 128))
    add_face(image, hair, at, side)
    return image


def add_face(
    image: Image.Image, hair: tuple[int, int, int], at: tuple[int, int], side: int = SIDE
) -> None:
    draw = ImageDraw.Draw(image)
    for half, color in ((side, hair), (side // 2, FACE)):
        draw.rectangle((at[0] - half, at[1] - half, at[0] + half - 1, at[1] + half - 1), color)


def _entry(loader: str, folder: Path, content: bytes) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{loader}.onnx"
    (folder / name).write_bytes(content)
    pin = hashlib.sha256(content).hexdigest()
    return entry(loader, folder, weight_name=name, sha256=pin)


def _yunet() -> bytes:
    nodes, weights, outputs = [], [], []

    def convolved(name: str, pooled: str, kernel: np.ndarray[Any, Any], bias: Any) -> None:
        """Add a 1x1 convolution of ``pooled`` and flatten its cells, row by row."""
        for part, values in (("w", kernel.reshape(*kernel.shape, 1, 1)), ("b", np.array(bias))):
            weights.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_{part}"))
        weights.append(
            numpy_helper.from_array(np.array([1, -1, len(kernel)], np.int64), f"{name}_shape")
        )
        inner = f"{name}_map"
        nodes.append(helper.make_node("Conv", [pooled, f"{name}_w", f"{name}_b"], [inner]))
        if name.startswith(("cls", "obj")):
            nodes.append(helper.make_node("Sigmoid", [inner], [f"{inner}_score"]))
            inner = f"{inner}_score"
        nodes.append(helper.make_node("Transpose", [inner], [f"{name}_rows"], perm=[0, 2, 3, 1]))
        nodes.append(helper.make_node("Reshape", [f"{name}_rows", f"{name}_shape"], [name]))
        shape = [1, (640 // int(name.split("_")[1])) ** 2, len(kernel)]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    for stride in _STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool", ["input"], [f"pool_{stride}"],
                kernel_shape=[stride, stride], strides=[stride, stride],
            )
        )  # fmt: skip
    magenta = np.array([[0.1, -0.2, 0.1]])
    for kind, kernel, bias in (
        # A cell is a face where seven tenths of it are magenta, so that a square is found once.
        ("cls", magenta, [-36.0]),
        ("obj", magenta, [-36.0]),
        ("bbox", np.zeros((4, 3)), _BOX),
        ("kps", np.zeros((10, 3)), _LANDMARKS),
    ):
        for stride in _STRIDES:
            scored = kind in ("cls", "obj")
            seen = kernel if stride == _STRIDES[-1] or not scored else np.zeros_like(kernel)
            convolved(f"{kind}_{stride}", f"pool_{stride}", seen, bias)
    return _serialized("input", [1, 3, 640, 640], nodes, weights, outputs)


def _sface() -> bytes:
    random = np.random.default_rng(0).normal(size=(3 * 8 * 8, 128)) / 8
    weights = [
        numpy_helper.from_array(np.full((1, 3, 1, 1), 128, np.float32), "gray"),
        numpy_helper.from_array(random.astype(np.float32), "projection"),
    ]
    nodes = [
        helper.make_node(
            "AveragePool", ["data"], ["cells"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Sub", ["cells", "gray"], ["colors"]),
        helper.make_node("Flatten", ["colors"], ["row"]),
        helper.make_node("MatMul", ["row", "projection"], ["fc1"]),
    ]
    output = helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 128])
    return _serialized("data", [1, 3, 112, 112], nodes, weights, [output])


def _serialized(
    name: str, shape: list[int], nodes: list[Any], weights: list[Any], outputs: list[Any]
) -> bytes:
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "miniature", [given], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
