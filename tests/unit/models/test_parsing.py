"""Parsing: one vocabulary over the data sets' labels, and which photos can be dressed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.memory.plans import MemoryPlan
from models.profiles.load import Capability
from models.vision.human_parser import HumanParser
from models.vision.human_parsing import (
    LABELS,
    HumanParse,
    RejectionReason,
    UnknownLabel,
    UnknownRegion,
)
from tests.support.miniatures import readers
from tests.support.miniatures.profile import entry, profile

TINY = ("background", "hair", "face", "upper", "arms", "pants", "shoes", "dress")


def parser(folder: Path, labels: tuple[str, ...]) -> HumanParser:
    model = entry("SegformerForSemanticSegmentation", readers.segformer(folder, labels))
    return HumanParser.loader(profile(Capability.HUMAN_PARSING, model)).load(
        MemoryPlan.RESIDENT, "cpu"
    )


def person(
    labels: np.ndarray | None = None, left: int = 40, scale: float = 1.0, top: str = "upper"
) -> np.ndarray:
    """A figure 20 x 80 pixels at ``scale``: hair, face, garment, pants, shoes."""
    labels = np.zeros((100, 120), dtype=np.uint8) if labels is None else labels
    row = 10
    for name, height in (("hair", 5), ("face", 15), (top, 30), ("pants", 25), ("shoes", 5)):
        rows = max(1, round(height * scale))
        labels[row : row + rows, left : left + round(20 * scale)] = LABELS.index(name)
        row += rows
    return labels


@pytest.mark.parametrize("labels", [readers.ATR, TINY], ids=["clothes model", "tiny pack"])
def test_what_it_sees_comes_at_the_photos_size_in_the_common_words(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    """Random weights: what is where cannot be right, but each class must keep its meaning."""
    model = parser(tmp_path, labels)
    image = Image.effect_noise((50, 70), 90).convert("RGB")
    parsed = model.parse(image)
    assert parsed.labels.shape == (70, 50)
    assert parsed.labels.dtype == np.uint8
    known = {label.lower(): name for name, label in zip(_meant(labels), labels, strict=True)}
    for index, label in enumerate(labels):
        assert parsed.names[model._parser._common_label_ids[index]] == known[label.lower()]
    assert set(np.unique(parsed.labels)) <= set(model._parser._common_label_ids)


def _meant(labels: tuple[str, ...]) -> list[str]:
    if labels == TINY:
        return list(TINY)
    return ["background", "hat", "hair", "other", "upper", "skirt", "pants", "dress", "other",
            "shoes", "shoes", "face", "legs", "legs", "arms", "arms", "bag", "other"]  # fmt: skip


def test_weights_whose_file_names_a_processor_of_an_older_release_are_read(tmp_path: Path) -> None:
    folder = readers.segformer(tmp_path)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    said["image_processor_type"] = "SegformerFeatureExtractor"
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    model = entry("SegformerForSemanticSegmentation", folder)
    loaded = HumanParser.loader(profile(Capability.HUMAN_PARSING, model))
    parsed = loaded.load(MemoryPlan.RESIDENT, "cpu").parse(Image.new("RGB", (50, 70)))
    assert parsed.labels.shape == (70, 50)


def test_a_label_without_a_place_in_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownLabel, match="wings"):
        parser(tmp_path, ("background", "wings"))


def test_a_mask_joins_the_parts_named() -> None:
    parsed = HumanParse(person())
    assert parsed.mask("pants", "shoes").sum() == 20 * 30
    with pytest.raises(UnknownLabel, match="wings"):
        parsed.mask("wings")


def two_apart() -> np.ndarray:
    return person(person(left=10), left=80)


def two_who_touch() -> np.ndarray:
    labels = person(person(left=30), left=60)
    labels[50:60, 50:60] = LABELS.index("arms")
    return labels


def with_a_passer_by() -> np.ndarray:
    return person(person(left=30), left=100, scale=0.3)


def cut_by_a_belt() -> np.ndarray:
    labels = person()
    labels[60, :] = 0
    return labels


def with_specks() -> np.ndarray:
    labels = person()
    labels[5, 5] = labels[90, 110] = LABELS.index("bag")
    return labels


@pytest.mark.parametrize(
    ("labels", "region", "reason"),
    [
        (np.zeros((100, 120), np.uint8), "upper", RejectionReason.NO_PERSON),
        (two_apart(), "upper", RejectionReason.SEVERAL_PEOPLE),
        (two_who_touch(), None, RejectionReason.SEVERAL_PEOPLE),
        (person(scale=0.4), "upper", RejectionReason.TOO_SMALL),
        (person(), "dress", None),  # what is worn there is what will be replaced
        (person(top="dress"), "upper", RejectionReason.GARMENT_NOT_FOUND),
        (person(top="arms"), "upper", RejectionReason.GARMENT_NOT_FOUND),
        (person(), "upper", None),
        (person(), "lower", None),
        (with_a_passer_by(), "upper", None),
        (cut_by_a_belt(), "lower", None),
        (with_specks(), None, None),
    ],
)
def test_which_photos_can_be_dressed(
    labels: np.ndarray, region: str | None, reason: RejectionReason | None
) -> None:
    assert HumanParse(labels).rejection_reason(region) is reason


def test_a_reason_says_what_to_do_and_a_region_must_be_known() -> None:
    assert all(reason.message for reason in RejectionReason)
    with pytest.raises(UnknownRegion, match="upper, lower, dress"):
        HumanParse(person()).rejection_reason("sleeve")
