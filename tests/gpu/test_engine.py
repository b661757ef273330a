"""On a GPU the engine draws what plain diffusers draws."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.drawing import Pixels, draw, read

# Largest and mean difference of a pixel, 0 to 1. A batch sums in another order than a single
# picture: at float32 that is the sixth digit; bfloat16 has three digits to begin with.
TOLERANCE = {"float32": (2e-3, 1e-4), "bfloat16": (0.3, 0.02)}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux", "klein"])
def test_engine_equals_plain_diffusers(
    folders: dict[str, Path], device: str, name: str, dtype: str
) -> None:
    from models.diffusion.batching import Engine
    from models.diffusion.batching.encoder_cache import EncoderCache
    from models.diffusion.batching.session import open_session

    pipeline = read(folders[name], dtype).to(device)
    plain = [draw(pipeline, seed, steps=3 + seed) for seed in range(4)]
    # Not calibrated: a miniature may not pay to be batched, and batches are what is tested.
    engine, embeddings = Engine(calibrate=False), EncoderCache()

    def seatedly(seed: int) -> Pixels:
        with open_session(engine, pipeline, embeddings, calls=3 + seed) as loaded:
            return draw(loaded.pipeline, seed, steps=3 + seed)

    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(seatedly, range(4)))
        assert engine.stats.rows > engine.stats.batches  # some calls did share a batch
        assert engine.stats.split_batches == 0
    finally:
        engine.close()
    largest, mean = TOLERANCE[dtype]
    for theirs, ours in zip(plain, made, strict=True):
        assert np.abs(theirs - ours).max() <= largest
        assert np.abs(theirs - ours).mean() <= mean
    # The prompt and the seed do make a difference, so that agreeing says something.
    assert np.abs(plain[0] - plain[1]).mean() > 2 * mean
