"""Depth: one meaning, 1 is nearest, whatever the model predicts."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from models.memory.plans import MemoryPlan
from models.profiles.load import Capability
from models.vision.depth import DepthEstimator
from tests.support.miniatures import readers
from tests.support.miniatures.profile import entry, profile

RAMP = torch.linspace(1.0, 5.0, 8).repeat(4, 1)[None]  # grows to the right


class Predicts:
    """A network whose prediction is given."""

    def __init__(self, prediction: torch.Tensor, **config: str) -> None:
        self.prediction = prediction
        self.model = SimpleNamespace(config=SimpleNamespace(**config))

    def __call__(self, image: Image.Image, wanted: str) -> torch.Tensor:
        assert wanted == "predicted_depth"
        return self.prediction


@pytest.mark.parametrize(
    ("loader", "build"),
    [
        ("DepthAnythingForDepthEstimation", readers.depth_anything),
        ("GLPNForDepthEstimation", readers.glpn),
    ],
)
def test_a_map_has_the_pictures_size_and_the_whole_range(
    tmp_path: Path, loader: str, build: Callable[[Path], Path]
) -> None:
    depths = profile(Capability.DEPTH, entry(loader, build(tmp_path)))
    model = DepthEstimator.loader(depths).load(MemoryPlan.RESIDENT, "cpu")
    near = model.estimate_nearness(Image.effect_noise((90, 61), 90))
    assert near.shape == (61, 90)
    assert near.dtype == np.float32
    assert (near.min(), near.max()) == (0.0, 1.0)
    assert not np.array_equal(near, model.estimate_nearness(Image.new("L", (90, 61))))


@pytest.mark.parametrize(
    ("loader", "build", "older"),
    [
        ("DepthAnythingForDepthEstimation", readers.depth_anything, "DPTFeatureExtractor"),
        ("GLPNForDepthEstimation", readers.glpn, "GLPNFeatureExtractor"),
    ],
)
def test_weights_whose_file_names_a_processor_of_an_older_release_are_read(
    tmp_path: Path, loader: str, build: Callable[[Path], Path], older: str
) -> None:
    folder = build(tmp_path)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(
        json.dumps(said | {"image_processor_type": older})
    )
    depths = profile(Capability.DEPTH, entry(loader, folder))
    model = DepthEstimator.loader(depths).load(MemoryPlan.RESIDENT, "cpu")
    assert model.estimate_nearness(Image.effect_noise((90, 61), 90)).shape == (61, 90)


@pytest.mark.parametrize(
    ("config", "nearest"),
    [
        ({"model_type": "dpt"}, "right"),
        ({"model_type": "depth_anything", "depth_estimation_type": "relative"}, "right"),
        ({"model_type": "depth_anything", "depth_estimation_type": "metric"}, "left"),
        ({"model_type": "glpn"}, "left"),
    ],
)
def test_metres_are_turned_round_and_nearness_is_not(config: dict[str, str], nearest: str) -> None:
    near = DepthEstimator(Predicts(RAMP, **config)).estimate_nearness(Image.new("RGB", (16, 8)))
    assert near[0].argmax() in ((15, 14) if nearest == "right" else (0, 1))
    assert near[0].argmin() in ((0, 1) if nearest == "right" else (15, 14))


def test_a_wall_and_a_prediction_of_zero_metres_give_numbers() -> None:
    wall = DepthEstimator(Predicts(torch.full((1, 4, 4), 3.0), model_type="dpt"))
    assert not wall.estimate_nearness(Image.new("RGB", (8, 8))).any()
    zero = RAMP.clone()
    zero[0, 0, 0] = 0.0
    near = DepthEstimator(Predicts(zero, model_type="glpn")).estimate_nearness(
        Image.new("RGB", (8, 4))
    )
    assert np.isfinite(near).all()
    assert near.max() == 1.0
