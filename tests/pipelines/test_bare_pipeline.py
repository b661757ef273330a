"""The plain pipeline that benchmarks compare with."""

import numpy as np

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from models.profiles.load import load_profile

PROMPT = "a big red circle at the center on a blue background"
SHORT, GUIDED = Wanted(PROMPT, 7, 2, 5.0), Wanted(PROMPT, 7, 4, 3.0)


def test_kinds_of_one_batch_are_drawn_in_turn_and_answered_in_order() -> None:
    bare = BarePipeline(load_profile("tiny"))
    batch = [GUIDED, SHORT, GUIDED]
    for image, wanted in zip(bare.draw_all(batch), batch, strict=True):
        alone = np.asarray(bare.draw(wanted), dtype=int)
        assert np.abs(np.asarray(image, dtype=int) - alone).max() <= 1
