"""Reading a miniature and drawing with it."""

from pathlib import Path
from typing import Any

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.float32]]


def read(folder: Path, dtype: str = "float32") -> Any:
    """The pipeline of ``folder``, on the CPU."""
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, seed: int, steps: int = 4) -> Pixels:
    """(64, 64, 3), 0 to 1. The noise comes from the CPU, and so is the same on every device."""
    import torch

    made = pipeline(
        prompt=f"a circle {seed}",
        width=64,
        height=64,
        num_inference_steps=steps,
        guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
    )
    return np.asarray(made.images[0], dtype=np.float32)
