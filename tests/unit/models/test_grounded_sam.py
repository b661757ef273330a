"""The parser that is asked in words: boxes, outlines, and what covers what."""

import numpy as np
import pytest
from PIL import Image

from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, CapabilityMissing, Profile
from models.vision import garments
from models.vision.grounded_sam import Detection, lay_masks
from models.vision.human_parser import HumanParser
from models.vision.human_parsing import HumanParse, RejectionReason
from tests.support.miniatures import detectors
from tests.support.miniatures.profile import entry

SIZE = (120, 80)  # height, width
# A person of 40 x 100 pixels, as left, top, right, bottom.
PERSON = (20, 10, 60, 110)
FACE, HAIR, SHIRT, TROUSERS = (
    (30, 14, 50, 30),
    (28, 10, 52, 20),
    (22, 30, 58, 70),
    (24, 70, 56, 110),
)
HAND, ARM = (20, 60, 30, 70), (20, 32, 30, 70)

Box = tuple[int, int, int, int]


def laid(*things: tuple[str, float, Box]) -> HumanParse:
    found, masks = [], []
    for query, score, box in things:
        mask = np.zeros(SIZE, bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        found.append(Detection(query, score, tuple(map(float, box))))
        masks.append(mask)
    return HumanParse(lay_masks(found, masks))


DRESSED = (
    ("person", 0.9, PERSON), ("face", 0.7, FACE), ("hair", 0.6, HAIR), ("shirt", 0.6, SHIRT),
    ("trousers", 0.6, TROUSERS), ("hand", 0.5, HAND), ("arm", 0.5, ARM),
)  # fmt: skip


def name_at(parse: HumanParse, row: int, column: int) -> str:
    return parse.names[parse.labels[row, column]]


def test_a_hand_lies_on_the_shirt_and_the_sleeve_on_the_arm() -> None:
    parse = laid(*DRESSED)
    assert name_at(parse, 65, 25) == "arms"
    assert name_at(parse, 45, 25) == "upper"
    assert name_at(parse, 16, 40) == "face"
    assert name_at(parse, 12, 40) == "hair"
    assert name_at(parse, 45, 21) == "arms"  # beside the shirt
    assert name_at(parse, 105, 21) == "other"  # the person's, and of no name
    assert name_at(parse, 5, 5) == "background"
    assert parse.rejection_reason("upper") is None


def test_cloth_that_is_read_twice_has_the_name_that_scored_higher() -> None:
    dress = ("dress", 0.4, (22, 30, 58, 110))
    assert not laid(*DRESSED, dress).mask("dress").any()
    parse = laid(*DRESSED, ("dress", 0.8, (22, 30, 58, 110)))
    assert parse.rejection_reason("dress") is None
    assert not parse.mask("upper", "pants").any()


def test_a_coat_on_the_wall_is_nobodys_and_a_coat_alone_is_a_garment() -> None:
    wall = ("coat", 0.9, (62, 20, 78, 60))
    parse = laid(*DRESSED, wall)
    assert name_at(parse, 40, 70) == "background"
    alone = laid(wall)
    assert name_at(alone, 40, 70) == "upper"
    assert garments.garment_photo_kind(alone) == "flat"
    assert alone.rejection_reason() is RejectionReason.NO_PERSON


def test_two_people_are_two() -> None:
    other = [
        (query, score, (b[0] + 41, *b[1:2], min(b[2] + 41, 80), b[3]))
        for query, score, b in DRESSED
    ]
    parse = laid(("person", 0.9, (0, 10, 18, 110)), ("face", 0.6, (2, 14, 16, 30)), *other)
    assert parse.rejection_reason() is RejectionReason.SEVERAL_PEOPLE


def test_the_mask_for_painting_covers_the_shirt_and_spares_face_and_hands() -> None:
    parse = laid(*DRESSED)
    mask = garments.garment_mask(parse, "upper")
    assert mask[32:70, 32:58].all()
    assert not (mask & parse.mask("face", "hair", "arms", "pants")).any()


@pytest.fixture(scope="module")
def grounded(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    folder = tmp_path_factory.mktemp("grounded")
    memory = {"components": {"model": 3}, "activations": 5, "activations_sliced": 5}
    return Profile(
        name="miniature",
        title="A miniature",
        device="cpu",
        models={
            "dino": entry(
                "GroundingDinoForObjectDetection",
                detectors.grounding_dino(folder / "dino"),
                memory=memory,
            ),
            "sam": entry("Sam2Model", detectors.sam2(folder / "sam"), memory=memory),
        },
        capabilities={Capability.HUMAN_PARSING: {"model": "dino", "parts": {"segmenter": "sam"}}},
    )


def noise() -> Image.Image:
    """The same for every run: in some noise the miniature's random weights find nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (61, 90, 3), np.uint8)
    return Image.fromarray(pixels)


def test_a_photo_is_parsed_at_its_size_by_the_networks_classes(grounded: Profile) -> None:
    parser = HumanParser.loader(grounded).load(MemoryPlan.RESIDENT, "cpu")
    image = noise()
    parsed = parser.parse(image)
    assert parsed.labels.shape == (61, 90)
    assert parsed.labels.dtype == np.uint8
    assert len(np.unique(parsed.labels)) > 1
    assert np.array_equal(parser.parse(image).labels, parsed.labels)
    other = parser.parse(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert not np.array_equal(other.labels, parsed.labels)


def test_more_boxes_than_are_outlined_at_once_have_the_same_outlines(
    grounded: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = HumanParser.loader(grounded).load(MemoryPlan.RESIDENT, "cpu")
    image = noise()
    together = parser.parse(image).labels
    monkeypatch.setattr("models.vision.grounded_sam._BOXES_AT_ONCE", 3)
    assert np.array_equal(parser.parse(image).labels, together)


def test_a_photo_in_which_nothing_is_found_is_background(
    grounded: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.vision.grounded_sam._MIN_SCORE", 1.1)
    parser = HumanParser.loader(grounded).load(MemoryPlan.RESIDENT, "cpu")
    parsed = parser.parse(Image.new("RGB", (20, 10)))
    assert not parsed.labels.any()
    assert parsed.rejection_reason() is RejectionReason.NO_PERSON


def test_both_networks_are_counted_and_neither_is_offloaded(grounded: Profile) -> None:
    loader = HumanParser.loader(grounded)
    assert loader.need.components == {"detector": 3, "segmenter": 3}
    assert loader.available_plans("cpu") == (MemoryPlan.RESIDENT,)


def test_a_detector_without_a_segmenter_is_refused(grounded: Profile) -> None:
    bare = grounded.model_copy(
        update={
            "capabilities": {
                Capability.HUMAN_PARSING: grounded.capability_config(
                    Capability.HUMAN_PARSING
                ).model_copy(update={"parts": {}})
            }
        }
    )
    with pytest.raises(CapabilityMissing, match="names no segmenter for human_parsing"):
        HumanParser.loader(bare)
