"""The engine against plain diffusers: ``python -m benchmarks.gpu.engine [--json FILE]``.

SD 1.5, SDXL and FLUX.2 [klein] 4B at their real sizes with random weights, made on the card. N
clients ask for a picture, and for the next when they have it. Plain diffusers serves them one after
another, as one pipeline object must be; the engine lays their steps together.

The floor is arithmetic: the operations of the denoiser's calls for one picture, divided by what the
card reaches in a large matrix product at that precision, measured in the same run. Nothing that
computes the same product can be faster, whatever it batches.

``--device cpu --miniature`` runs the same code with tiny random models; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

PROMPT = "a lighthouse"


@dataclass(frozen=True)
class Subject:
    """A pipeline and how it is called. ``made`` and ``miniature`` name their builders."""

    made: str
    miniature: tuple[str, str]  # module of tests.support.miniatures, function
    dtype: str
    size: int
    steps: int
    guidance: float


SUBJECTS = {
    "sd15": Subject("stable_diffusion", ("pictures", "stable_diffusion"), "float16", 512, 25, 7.5),
    "sdxl": Subject(
        "stable_diffusion_xl", ("pictures", "stable_diffusion_xl"), "float16", 1024, 30, 6.0
    ),
    "klein": Subject("flux2_klein", ("flows", "flux2_klein"), "bfloat16", 1024, 4, 1.0),
}


@dataclass(frozen=True)
class Row:
    """Seconds are from asking to having the picture. ``of_floor`` is 1 where arithmetic is all."""

    model: str
    dtype: str
    way: str
    clients: int
    pictures: int
    pictures_per_s: float
    p50_s: float
    p95_s: float
    of_floor: float
    rows_per_batch: float = 0.0


@dataclass(frozen=True)
class Results:
    """``floor_s`` is one picture's denoiser at the measured throughput, by model."""

    device: str
    machine: str
    miniature: bool
    tflops: dict[str, float] = field(default_factory=dict)  # measured, by precision
    picture_tflop: dict[str, float] = field(default_factory=dict)
    floor_s: dict[str, float] = field(default_factory=dict)
    largest_difference: dict[str, float] = field(default_factory=dict)  # of pixels, 0 to 1
    rows: list[Row] = field(default_factory=list)


def described(device: str) -> str:
    """The device and the PyTorch that runs on it, in words."""
    import torch

    card = torch.cuda.get_device_name(device) if device != "cpu" else f"{os.cpu_count()} CPU cores"
    return f"{card}, PyTorch {torch.__version__}"


def synchronize(device: str) -> None:
    import torch

    if device != "cpu":
        torch.cuda.synchronize(device)


def matmul_flops(device: str, dtype: str, tries: int = 10) -> float:
    """Operations a second of a large square matrix product, the median of ``tries``."""
    import torch

    side = 1024 if device == "cpu" else 8192
    left, right = (
        torch.randn(side, side, device=device, dtype=getattr(torch, dtype)) for _ in "ab"
    )
    seconds = []
    for _ in range(tries + 2):
        synchronize(device)
        started = time.perf_counter()
        left @ right
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds[2:])  # the first two choose kernels


def picture_flops(pipeline: Any, draw: Callable[[], Any]) -> float:
    """Operations of all of the denoiser's calls that ``draw`` makes."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from models.diffusion.adapters import denoiser_name

    denoiser = getattr(pipeline, denoiser_name(pipeline))
    real, calls, counted = denoiser.forward, 0, 0

    def forward(*arguments: Any, **options: Any) -> Any:
        nonlocal calls, counted
        calls += 1
        if calls > 1:
            return real(*arguments, **options)
        # The counter knows the products attention is made of, but not every fused kernel.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            made = real(*arguments, **options)
        counted = counter.get_total_flops()
        return made

    denoiser.forward = forward
    try:
        draw()
    finally:
        del denoiser.forward
    return float(calls * counted)


def clients(
    count: int, pictures: int, draw: Callable[[int], Any]
) -> tuple[list[Any], list[float], float]:
    """``pictures`` drawn by ``count`` clients: what they got, seconds of each, seconds of all."""

    def one(seed: int) -> tuple[Any, float]:
        started = time.perf_counter()
        made = draw(seed)
        return made, time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        got = list(pool.map(one, range(pictures)))
    return [made for made, _ in got], [took for _, took in got], time.perf_counter() - started


def made(subject: Subject, device: str, miniature: bool) -> Any:
    import importlib

    import torch

    from benchmarks.gpu import architectures

    torch.manual_seed(0)
    if miniature:
        module = importlib.import_module(f"tests.support.miniatures.{subject.miniature[0]}")
        with tempfile.TemporaryDirectory() as folder:
            path = getattr(module, subject.miniature[1])(Path(folder))
            from diffusers import DiffusionPipeline

            pipeline = DiffusionPipeline.from_pretrained(path, local_files_only=True).to(device)
    else:
        with architectures.made_on(device, subject.dtype):
            pipeline = getattr(architectures, subject.made)()
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(name: str, results: Results, counts: list[int], steps: int | None, rounds: int) -> None:
    """Add the figures of the model ``name`` to ``results``."""
    import torch

    from models.diffusion.batching import Engine
    from models.diffusion.batching.encoder_cache import EncoderCache
    from models.diffusion.batching.session import open_session

    subject, device = SUBJECTS[name], results.device
    pipeline = made(subject, device, results.miniature)
    dtype = "float32" if results.miniature else subject.dtype
    size, length = (64, 4) if results.miniature else (subject.size, subject.steps)
    length = steps or length

    def call(pipe: Any, seed: int) -> Any:
        picture = pipe(
            prompt=f"{PROMPT} {seed}",  # no two alike: what encoders made is remembered
            width=size,
            height=size,
            num_inference_steps=length,
            guidance_scale=subject.guidance,
            generator=torch.Generator(device).manual_seed(seed),
        ).images[0]
        return np.asarray(picture, dtype=np.float32) / 255

    turn, engine, embeddings = threading.Lock(), Engine(), EncoderCache()

    def plainly(seed: int) -> Any:
        with turn:
            return call(pipeline, seed)

    def seatedly(seed: int) -> Any:
        with open_session(engine, pipeline, embeddings, calls=length) as loaded:
            return call(loaded.pipeline, seed)

    if dtype not in results.tflops:
        results.tflops[dtype] = matmul_flops(device, dtype) / 1e12
    results.picture_tflop[name] = picture_flops(pipeline, lambda: plainly(-1)) / 1e12
    floor = results.picture_tflop[name] / results.tflops[dtype]
    results.floor_s[name] = floor
    seatedly(-1)  # measures how many rows pay
    different = 0.0
    for count in counts:
        drawn: dict[str, list[Any]] = {}
        for way, draw in (("diffusers", plainly), ("engine", seatedly)):
            before = engine.stats
            drawn[way], seconds, wall = clients(count, rounds * count, draw)
            after = engine.stats
            batches = after.batches - before.batches
            results.rows.append(
                Row(
                    model=name,
                    dtype=dtype,
                    way=way,
                    clients=count,
                    pictures=len(seconds),
                    pictures_per_s=len(seconds) / wall,
                    p50_s=float(np.percentile(seconds, 50)),
                    p95_s=float(np.percentile(seconds, 95)),
                    of_floor=floor * len(seconds) / wall,
                    rows_per_batch=(after.rows - before.rows) / batches if batches else 0.0,
                )
            )
        pairs = zip(drawn["diffusers"], drawn["engine"], strict=True)
        different = max(different, *(float(np.abs(a - b).max()) for a, b in pairs))
    results.largest_difference[name] = different
    engine.close()


def show(results: Results, console: Console) -> None:
    title = f"Engine against plain diffusers ({results.machine})"
    if results.miniature:
        title += ", MINIATURES: the figures mean nothing"
    table = Table(
        "model", "way", "clients", "pictures/s", "p50 s", "p95 s", "of floor", "rows/batch",
        title=title,
    )  # fmt: skip
    for row in results.rows:
        table.add_row(
            f"{row.model} {row.dtype}",
            row.way,
            str(row.clients),
            f"{row.pictures_per_s:.3f}",
            f"{row.p50_s:.3f}",
            f"{row.p95_s:.3f}",
            f"{row.of_floor:.1%}",
            f"{row.rows_per_batch:.1f}" if row.way == "engine" else "",
        )
    console.print(table)
    for name, seconds in results.floor_s.items():
        console.print(
            f"{name}: {results.picture_tflop[name]:.3g} TFLOP a picture, floor {seconds:.3g} s;"
            f" pixels differ by at most {results.largest_difference[name]:.2g}"
        )
    for dtype, tflops in results.tflops.items():
        console.print(f"matrix product at {dtype}: {tflops:.3g} TFLOP/s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.engine", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=2, help="pictures a client asks for")
    parser.add_argument("--steps", type=int, help="instead of each model's own")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    if arguments.device == "cpu" and not arguments.miniature:
        parser.error("on a CPU only --miniature ends within the day")
    from models.memory.usage import release_memory

    results = Results(arguments.device, described(arguments.device), arguments.miniature)
    for name in arguments.models:
        measure(name, results, arguments.clients, arguments.steps, arguments.rounds)
        release_memory(arguments.device)
    show(results, Console())
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
