"""The options of a profile on a GPU: each changes the picture as little as it should."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.memory.plans import MemoryPlan, apply_plan
from models.profiles.load import Options
from tests.gpu.drawing import draw, read

# What is given, and the largest mean difference of a pixel (0 to 1) at float32.
OPTIONS: list[tuple[dict[str, Any], float]] = [
    ({"compile": True}, 1e-3),
    ({"attention": "math"}, 1e-3),
    ({"attention": "flash"}, 1e-3),
    ({"attention": "cudnn"}, 1e-3),
    ({"quantization": "int8"}, 0.02),
    ({"quantization": "nf4"}, 0.1),
    ({"quantization": "int8", "compile": True}, 0.02),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("given", "most"), OPTIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_option_keeps_the_picture(
    folders: dict[str, Path], device: str, name: str, given: dict[str, Any], most: float
) -> None:
    from models.diffusion.options import apply_options

    if device == "cpu" and given.get("attention") == "cudnn":
        pytest.skip("cuDNN is for CUDA")
    reference = draw(read(folders[name]).to(device), 0)
    pipeline = read(folders[name])
    apply_options(pipeline, Options(**given), device)
    apply_plan(pipeline, MemoryPlan.RESIDENT, device)
    error = np.abs(draw(pipeline, 0) - reference).mean()
    assert error <= most
    if "quantization" in given:
        assert error > 0


@pytest.mark.timeout(900)
def test_compiled_models_serve_the_engines_changing_batches(
    folders: dict[str, Path], device: str
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from models.diffusion.batching import Engine
    from models.diffusion.batching.encoder_cache import EncoderCache
    from models.diffusion.batching.session import open_session
    from models.diffusion.options import apply_options

    plain = read(folders["sd15"]).to(device)
    compiled = read(folders["sd15"])
    apply_options(compiled, Options(compile=True), device)
    apply_plan(compiled, MemoryPlan.RESIDENT, device)
    engine, embeddings = Engine(calibrate=False), EncoderCache()

    def seatedly(seed: int) -> Any:
        with open_session(engine, compiled, embeddings, calls=2 + seed) as loaded:
            return draw(loaded.pipeline, seed, steps=2 + seed)

    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(seatedly, range(4)))
    finally:
        engine.close()
    for seed, picture in enumerate(made):
        assert np.abs(picture - draw(plain, seed, steps=2 + seed)).max() <= 2e-3
