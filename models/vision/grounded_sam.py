"""Grounded SAM as a human parser: Grounding DINO finds clothes and limbs, SAM 2 outlines them.

Grounding DINO: https://arxiv.org/abs/2303.05499. SAM 2: https://arxiv.org/abs/2408.00714. Both are
under Apache-2.0. The detector is asked in words and answers with boxes, the segmenter turns each
box into a mask, and the masks are laid over each other in the order of what covers what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from models.memory.plans import MemoryPlan, execution_device
from models.profiles.load import Model
from models.vision.human_parsing import LABELS, HumanParse
from models.vision.network import read_processor
from models.weights.load import load_model

# What the detector is asked for, with the label of each. Of two things at one place the earlier
# covers the later: a hand lies on a shirt, a sleeve on an arm.
_BEFORE_GARMENTS = {
    "bag": "bag", "hat": "hat", "hand": "arms", "face": "face", "hair": "hair", "shoe": "shoes",
}  # fmt: skip
_GARMENTS = {
    "shirt": "upper", "sweater": "upper", "jacket": "upper", "coat": "upper",
    "trousers": "pants", "shorts": "pants", "skirt": "skirt", "dress": "dress",
}  # fmt: skip
_BEHIND_GARMENTS = {"arm": "arms", "leg": "legs", "person": "other"}
_LABEL_OF = _BEFORE_GARMENTS | _GARMENTS | _BEHIND_GARMENTS
_QUERIES = tuple(_LABEL_OF)
_PERSON = "person"

_MIN_SCORE = 0.3  # of a box; the authors' demo takes 0.35 for whole things, and limbs score less
_MAX_BOXES = 48  # the best ones: a crowd has no end
# A garment of which others that scored higher leave less free is another reading of their cloth:
# "dress" over a shirt and trousers.
_MIN_FREE = 0.5
_BOXES_AT_ONCE = 8  # 440 MB with the small SAM 2.1; all 48 would take 2,200
_MIN_INSIDE = 0.5  # of a part, inside a person's box: else it hangs on a wall
_MASK_MEAN, _MASK_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as SAM 2 was


@dataclass(frozen=True)
class Detection:
    """What was found where: ``box`` is left, top, right, bottom in pixels, ``score`` 0..1."""

    query: str
    score: float
    box: tuple[float, float, float, float]


class GroundedSam:
    """The loaded detector and segmenter; safe to call from several threads."""

    loader = "GroundingDinoForObjectDetection"
    # SAM 2 reads weights of its embeddings from outside those layers, while they are offloaded.
    plans = (MemoryPlan.RESIDENT,)

    def __init__(self, detector: Any, image_processor: Any, tokenizer: Any, segmenter: Any) -> None:
        self._detector, self._segmenter = detector.eval(), segmenter.eval()
        self.network = {"detector": self._detector, "segmenter": self._segmenter}
        self._image_processor = image_processor
        # The detector keeps phrases apart by their full stops.
        self._text = tokenizer(" ".join(f"{query}." for query in _QUERIES), return_tensors="pt")
        self._spans = _query_spans(tokenizer, self._text["input_ids"][0].tolist())

    @classmethod
    def read(cls, detector: Model, segmenter: Model) -> GroundedSam:
        """The weights of both, on the CPU."""
        from transformers import AutoTokenizer, GroundingDinoImageProcessorPil

        return cls(
            load_model(detector),
            read_processor(detector, GroundingDinoImageProcessorPil),
            read_processor(detector, AutoTokenizer),
            load_model(segmenter),
        )

    def parse(self, image: Image.Image) -> HumanParse:
        """Label every pixel of ``image``, at its size."""
        image = image.convert("RGB")
        found = self._detect(image)
        if not found:
            return HumanParse(np.zeros((image.height, image.width), np.uint8))
        return HumanParse(lay_masks(found, self._segment(image, found)))

    def _detect(self, image: Image.Image) -> list[Detection]:
        inputs = self._image_processor(images=image, return_tensors="pt")
        device = execution_device(self._detector)
        dtype = _float_dtype(self._detector)
        with torch.inference_mode():
            outputs = self._detector(
                pixel_values=inputs["pixel_values"].to(device, dtype),
                pixel_mask=inputs["pixel_mask"].to(device),
                **self._text.to(device),
            )
        # (boxes, tokens) to (boxes, queries): a phrase is as likely as its likeliest token.
        tokens = outputs.logits[0].float().sigmoid().cpu()
        scores = torch.stack([tokens[:, span].amax(dim=1) for span in self._spans], dim=1)
        centers = outputs.pred_boxes[0].float().cpu()
        best, query = scores.max(dim=1)
        detections = []
        for row in torch.argsort(best, descending=True)[:_MAX_BOXES].tolist():
            if best[row] < _MIN_SCORE:
                break
            x, y, width, height = centers[row].tolist()
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            detections.append(Detection(_QUERIES[query[row]], float(best[row]), _clip(box, image)))
        return detections

    def _segment(
        self, image: Image.Image, found: Sequence[Detection]
    ) -> list[npt.NDArray[np.bool_]]:
        """The mask of each detection: bool (height, width)."""
        side = self._segmenter.config.prompt_encoder_config.image_size
        square = image.resize((side, side), Image.Resampling.BILINEAR)
        pixels = (np.asarray(square, np.float32) / 255 - _MASK_MEAN) / _MASK_STD
        across = (side / image.width, side / image.height)
        boxes = [[coordinate * across[i % 2] for i, coordinate in enumerate(d.box)] for d in found]
        device, dtype = execution_device(self._segmenter), _float_dtype(self._segmenter)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device, dtype)
        outlines: list[npt.NDArray[np.bool_]] = []
        with torch.inference_mode():
            embeddings = self._segmenter.get_image_embeddings(tensor)
            for first in range(0, len(boxes), _BOXES_AT_ONCE):
                masks = self._segmenter(
                    image_embeddings=embeddings,
                    input_boxes=torch.tensor([boxes[first : first + _BOXES_AT_ONCE]]).to(
                        device, dtype
                    ),
                    multimask_output=False,
                ).pred_masks[0]
                # One by one: at a large photo's size each takes as much memory as the photo.
                outlines += [_outline(mask, image) for mask in masks]
        return outlines


def _outline(mask: torch.Tensor, image: Image.Image) -> npt.NDArray[np.bool_]:
    """Scale one mask, logits (1, height, width), to ``image``."""
    large = torch.nn.functional.interpolate(
        mask[None].float(), (image.height, image.width), mode="bilinear", align_corners=False
    )
    outline: npt.NDArray[np.bool_] = (large[0, 0] > 0).cpu().numpy()
    return outline


def lay_masks(
    found: Sequence[Detection], masks: Sequence[npt.NDArray[np.bool_]]
) -> npt.NDArray[np.uint8]:
    """Merge the masks of ``found``, bool (height, width) each, to one map of ``LABELS`` indices.

    Where somebody is seen, things that are not theirs are left out; a garment alone is labeled.
    """
    labels = np.zeros(masks[0].shape, np.uint8)
    people = [d.box for d in found if d.query == _PERSON]
    things = list(zip(found, masks, strict=True))
    theirs = [(d, mask) for d, mask in things if _is_inside(mask, people)]

    def lay(detection: Detection, mask: npt.NDArray[np.bool_]) -> None:
        free = mask & (labels == 0)
        labels[free] = LABELS.index(_LABEL_OF[detection.query])

    for query in _BEFORE_GARMENTS:
        for detection, mask in theirs:
            if detection.query == query:
                lay(detection, mask)
    covered = np.zeros_like(masks[0])
    garments = [(d, mask) for d, mask in theirs if d.query in _GARMENTS and mask.any()]
    for detection, mask in sorted(garments, key=lambda garment: -garment[0].score):
        if (mask & ~covered).sum() >= _MIN_FREE * mask.sum():
            lay(detection, mask)
            covered |= mask
    for query in _BEHIND_GARMENTS:
        for detection, mask in theirs:
            if detection.query == query:
                lay(detection, mask)
    return labels


def _is_inside(
    mask: npt.NDArray[np.bool_], boxes: Sequence[tuple[float, float, float, float]]
) -> bool:
    """Whether most of ``mask`` lies in ``boxes``; without boxes everything does."""
    if not boxes:
        return True
    inside = np.zeros_like(mask)
    for left, top, right, bottom in boxes:
        inside[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
    return bool((mask & inside).sum() >= _MIN_INSIDE * mask.sum())


def _query_spans(tokenizer: Any, tokens: Sequence[int]) -> list[list[int]]:
    """The positions of each query's tokens."""
    stop, special = tokenizer.convert_tokens_to_ids("."), set(tokenizer.all_special_ids)
    spans: list[list[int]] = [[]]
    for position, token in enumerate(tokens):
        if token == stop:
            spans.append([])
        elif token not in special:
            spans[-1].append(position)
    return spans[:-1]


def _clip(
    box: tuple[float, float, float, float], image: Image.Image
) -> tuple[float, float, float, float]:
    """Scale ``box`` from 0..1 to pixels of ``image``."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in box)
    return left * image.width, top * image.height, right * image.width, bottom * image.height


def _float_dtype(network: Any) -> torch.dtype:
    return next(p.dtype for p in network.parameters() if p.is_floating_point())
