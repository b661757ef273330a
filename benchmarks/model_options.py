"""What each option of a profile costs and gains: ``python -m benchmarks.model_options [--json
FILE]``.

Draws the same pictures plainly at float32 and with each option: the trained tiny pack for what they
show (``adherence``: the share of pictures with every attribute asked for), a FLUX miniature with
random weights for what is for transformers only. Options that the device cannot have are listed
with the reason.

The pack is small: on a card most of its time is launching kernels, so take speeds from
``benchmarks.gpu.engine`` and what happens to pictures from here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.memory.plans import MemoryPlan, apply_plan
from models.profiles.load import Options, load_profile

STEPS = {"tiny pack": 12, "flux miniature": 8}


@dataclass(frozen=True)
class Variant:
    """One way to run a subject that differs from plain float32 in one thing."""

    name: str
    options: Options = field(default_factory=Options)
    dtype: str = "float32"
    plan: MemoryPlan = MemoryPlan.RESIDENT


VARIANTS = [
    Variant("float32"),
    Variant("float16", dtype="float16"),
    Variant("bfloat16", dtype="bfloat16"),
    Variant("weights at int8", Options(quantization="int8")),
    Variant("weights at nf4", Options(quantization="nf4")),
    Variant("compiled", Options(compile=True)),
    Variant("attention math", Options(attention="math")),
    Variant("attention flash", Options(attention="flash")),
    Variant("attention cudnn", Options(attention="cudnn")),
    Variant("plan sliced", plan=MemoryPlan.SLICED),
    Variant("step cache 0.1", Options(step_cache=0.1)),
    # So high that random weights, whose steps differ much, meet it.
    Variant("step cache 0.9", Options(step_cache=0.9)),
]


@dataclass(frozen=True)
class Row:
    """Differences are of pixels from 0 to 1; ``psnr`` is decibels, None where nothing differs."""

    subject: str
    variant: str
    first_s: float = 0.0  # the first picture: compiling is in it
    ms_per_step: float = 0.0
    largest: float = 0.0
    mean: float = 0.0
    psnr: float | None = None
    adherence: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Results:
    machine: str
    pictures: int
    rows: list[Row] = field(default_factory=list)


def read(subject: str, variant: Variant, flux: Path, device: str) -> Any:
    """The pipeline, ready to draw.

    Raises:
        OptionNotAvailable: the subject or the device cannot have the option.
    """
    import diffusers
    import torch

    from models.diffusion.options import apply_options
    from models.weights import load as weights_load

    dtype = getattr(torch, variant.dtype)
    if subject == "tiny pack":
        tiny = load_profile("tiny").models["atelier-tiny"]
        pipeline = weights_load.load_model(tiny.model_copy(update={"dtype": variant.dtype}))
    else:
        kind = diffusers.FluxPipeline
        pipeline = kind.from_pretrained(flux, dtype=dtype, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    apply_options(pipeline, variant.options, device, alone=True)
    apply_plan(pipeline, variant.plan, device)
    return pipeline


def draw(pipeline: Any, prompts: list[str], steps: int, device: str) -> np.ndarray[Any, Any]:
    """Pictures of ``prompts``: float32 (n, 64, 64, 3), 0 to 1, from the CPU's noise everywhere."""
    import torch

    with torch.inference_mode():
        made = pipeline(
            prompt=prompts,
            width=64,
            height=64,
            num_inference_steps=steps,
            guidance_scale=3.0,
            generator=torch.Generator("cpu").manual_seed(1),
            output_type="np",
        )
    return np.asarray(made.images, dtype=np.float32)


def compared(subject: str, variant: Variant, drawn: Any, plain: Any) -> dict[str, Any]:
    difference = np.abs(drawn - plain)
    error = float((difference**2).mean())
    return {
        "subject": subject,
        "variant": variant.name,
        "largest": float(difference.max()),
        "mean": float(difference.mean()),
        "psnr": -10 * math.log10(error) if error else None,
    }


def adherence(drawn: Any, things: list[Any]) -> float:
    """The share of pictures that show every attribute of what was asked for."""
    from models.tiny.checker import check

    pictures = (drawn * 255).round().astype(np.uint8)
    return float(
        np.mean([all(check(*pair).values()) for pair in zip(pictures, things, strict=True)])
    )


def measure(device: str, count: int, only: str | None) -> Results:
    from models.diffusion.options import OptionNotAvailable
    from models.tiny.world import caption, unseen
    from tests.support.miniatures import flows

    things = unseen(count, seed=777)
    asked = {"tiny pack": [caption(thing) for thing in things], "flux miniature": ["a red circle"]}
    results = Results(described(device), len(things))
    variants = [v for v in VARIANTS if only is None or only in v.name or v.name == "float32"]
    with tempfile.TemporaryDirectory() as folder:
        flux = flows.flux(Path(folder))
        for subject, prompts in asked.items():
            plain = None
            for variant in track(variants, description=subject):
                try:
                    pipeline = read(subject, variant, flux, device)
                except OptionNotAvailable as refused:
                    results.rows.append(Row(subject, variant.name, refused=str(refused)))
                    continue
                steps, started = STEPS[subject], time.perf_counter()
                draw(pipeline, prompts, steps, device)
                first = time.perf_counter() - started
                started = time.perf_counter()
                drawn = draw(pipeline, prompts, steps, device)
                took = time.perf_counter() - started
                plain = drawn if plain is None else plain
                results.rows.append(
                    Row(
                        **compared(subject, variant, drawn, plain),
                        first_s=first,
                        ms_per_step=1000 * took / steps,
                        adherence=adherence(drawn, things) if subject == "tiny pack" else None,
                    )
                )
    return results


def described(device: str) -> str:
    import torch

    card = torch.cuda.get_device_name(device) if device != "cpu" else f"{os.cpu_count()} CPU cores"
    return f"{card}, PyTorch {torch.__version__}"


def show(results: Results, console: Console) -> None:
    table = Table(
        "subject", "option", "first s", "ms/step", "largest", "mean", "PSNR", "adherence",
        title=f"Options against plain float32 ({results.machine}; {results.pictures} pictures)",
    )  # fmt: skip
    for row in results.rows:
        if row.refused:
            table.add_row(row.subject, row.variant, "", "", "", "", "", row.refused)
            continue
        table.add_row(
            row.subject,
            row.variant,
            f"{row.first_s:.1f}",
            f"{row.ms_per_step:.0f}",
            f"{row.largest:.4f}",
            f"{row.mean:.5f}",
            "same" if row.psnr is None else f"{row.psnr:.1f} dB",
            "" if row.adherence is None else f"{row.adherence:.0%}",
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_options", description=__doc__)
    parser.add_argument("--device", help="by default cuda where there is one")
    parser.add_argument("--count", type=int, default=12, help="prompts of each kind")
    parser.add_argument("--only", help="options with this in their name")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    results = measure(device, arguments.count, arguments.only)
    show(results, Console(width=150))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
