"""Cloth swap and influencer with the parser and the likeness that every card has.

The networks are miniatures, read by way of an operator's profile; what draws is the tiny pack.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from deployments.contract import BadInput
from deployments.generators.cloth_swap.spec import SPEC as CLOTH_SWAP
from deployments.generators.influencer.spec import SPEC as INFLUENCER
from models.inference.local import LocalInference
from models.profiles.load import Capability, load_profile
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person
from models.tiny.world import PARTS, Person
from models.vision.grounded_sam import Detection, GroundedSam
from tests.support.miniatures import detectors, faces
from tests.support.running_generators import as_data, run

ANN = draw_person(
    Person("woman", "blond", "tan", "blue", "plain", "shirt", "park"), random.Random(3)
)
GIVER = draw_person(
    Person("man", "black", "pale", "red", "striped", "shirt", "room"), random.Random(4)
)
QUERIES = {
    "hair": "hair", "face": "face", "upper": "shirt", "arms": "arm", "pants": "trousers",
    "shoes": "shoe",
}  # fmt: skip
NEED = {"components": {"model": 2}, "activations": 5, "activations_sliced": 5}


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile that parses and compares as those of cards do."""
    compared = faces.face_profile(tmp_path / "faces").models
    dino, sam = tmp_path / "dino", tmp_path / "sam"
    models: dict[str, dict[str, Any]] = {
        "dino": {
            "path": str(detectors.grounding_dino(dino)),
            "loader": "GroundingDinoForObjectDetection",
            "memory": NEED,
        },
        "sam": {"path": str(detectors.sam2(sam)), "loader": "Sam2Model", "memory": NEED},
    }
    for key in ("sface", "yunet"):
        said = compared[key].model_dump(mode="json", exclude_defaults=True)
        models[key] = {**said, "name": key}
    profile = {
        "extends": "tiny",
        "models": models,
        "capabilities": {
            "human_parsing": {"model": "dino", "parts": {"segmenter": "sam"}},
            "likeness": {"model": "sface", "parts": {"detector": "yunet"}},
        },
    }
    (tmp_path / "own").mkdir()
    (tmp_path / "own/studio.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.setenv("ATELIER_PROFILES_DIR", str(tmp_path / "own"))
    return "studio"


def on_file(picture: Any, path: Path) -> dict[str, str]:
    Image.fromarray(np.asarray(picture)).save(path)
    return as_data(path)


def test_the_shirt_that_was_found_by_its_name_is_replaced(
    studio: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights find nothing, so what they should have found is told: Ann's true parts."""
    masks = {query: ANN.parts == PARTS.index(part) for part, query in QUERIES.items()}
    masks["person"] = ANN.parts > 0
    outlined: list[str] = []

    def detect(parser: GroundedSam, image: Image.Image) -> list[Detection]:
        boxes = {query: Image.fromarray(mask).getbbox() for query, mask in masks.items()}
        return [Detection(query, 0.5, box) for query, box in boxes.items() if box is not None]

    def segment(parser: GroundedSam, image: Image.Image, found: Sequence[Detection]) -> list[Any]:
        outlined.extend(detection.query for detection in found)
        return [masks[detection.query] for detection in found]

    monkeypatch.setattr(GroundedSam, "_detect", detect)
    monkeypatch.setattr(GroundedSam, "_segment", segment)
    inference = LocalInference(load_profile(studio))
    given = {
        "person_image": on_file(ANN.picture, tmp_path / "ann.png"),
        "garments": [{"image": on_file(GIVER.garment, tmp_path / "shirt.png"), "kind": "flat"}],
        "seed": 5,
    }
    done = run(CLOTH_SWAP, given, tmp_path / "run", inference=inference)
    result, mask = (
        np.asarray(Image.open(made.path).convert("RGB"))
        for kind in ("image", "mask")
        for made in done.artifacts
        if made.kind == kind
    )
    assert "shirt" in outlined
    assert done.notes["garments"] == [{"category": "upper", "kind": "flat"}]
    assert mask[masks["shirt"]].all()
    assert not mask[masks["face"] | masks["hair"] | masks["arm"]].any()
    assert (result == ANN.picture)[masks["face"]].all()
    assert read_person(result)["color"] == "red"


def test_a_reference_without_a_face_is_refused(studio: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no face was found") as refused:
        draw(studio, tmp_path, Image.new("RGB", (200, 200), "gray"))
    assert refused.value.code == "no_face"


def test_a_picture_on_which_no_face_is_found_is_drawn_again_and_said(
    studio: str, tmp_path: Path
) -> None:
    """The tiny pack draws no face that the miniature knows."""
    done = draw(studio, tmp_path, faces.person((250, 220, 0)))
    (note,) = done.notes["images"]
    assert note["likeness"] == 0
    assert note["tries"] == 2
    assert (note["head_found"], note["alike"]) == (False, False)
    assert done.notes["likeness_threshold"] == 0.5


def draw(profile: str, folder: Path, reference: Image.Image) -> Any:
    inference = LocalInference(load_profile(profile))
    person = {
        "reference_images": [on_file(reference, folder / "reference.png")],
        "consent": True,
        "description": "a woman",
    }
    given = {"person": person, "images": [{"scene": "beach"}], "seed": 5, "max_redraws": 1}
    return run(INFLUENCER, given, folder / "run", inference=inference)


def test_the_profile_is_read_as_those_of_cards_are(studio: str) -> None:
    card, own = load_profile("rtx3050"), load_profile(studio)
    for capability in (Capability.HUMAN_PARSING, Capability.LIKENESS):
        assert own.model(capability).loader == card.model(capability).loader
        parts = card.capability_config(capability).parts
        assert own.capability_config(capability).parts.keys() >= parts.keys()
