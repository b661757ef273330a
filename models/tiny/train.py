"""Trains the whole tiny pack from a seed: ``python -m models.tiny.train --minutes 60``.

Resumable: checkpoints every two minutes under ``--work``; each also writes a complete pack into
``--out`` (diffusers folder layout, safetensors), so that it can be tried at any time.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from transformers import CLIPTokenizer

from models.tiny.data import make_samples
from models.tiny.tokenizer import build_tokenizer
from models.tiny.train_autoencoder import train_autoencoder
from models.tiny.train_denoiser import DenoiserTraining, Parts, build_parts, encode

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0


def export(parts: Parts, autoencoder: AutoencoderTiny, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Write the pack into ``out``, replacing the files of an older one."""
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=parts.text_encoder,
        tokenizer=tokenizer,
        unet=parts.unet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(fresh, safe_serialization=True)
    out.mkdir(parents=True, exist_ok=True)
    for item in fresh.iterdir():
        if item.is_dir():
            shutil.rmtree(out / item.name, ignore_errors=True)
        item.replace(out / item.name)
    fresh.rmdir()


def train(minutes: float, autoencoder_minutes: float, samples: int, work: Path, out: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    data = make_samples(samples, seed=1)
    logger.info("%d samples", len(data.pictures))
    if (work / "vae" / "config.json").exists():
        autoencoder = AutoencoderTiny.from_pretrained(work / "vae").eval()
    else:
        autoencoder = train_autoencoder(data.pictures, 60 * autoencoder_minutes, work / "vae")
    encoded = encode(data, autoencoder, tokenizer)
    training = DenoiserTraining(build_parts(tokenizer), encoded, 60 * minutes)
    checkpoint = work / "denoiser.pt"
    if checkpoint.exists():
        training.resume(checkpoint)
    while training.done < 1:
        training.work(CHECKPOINT_SECONDS)
        training.save(checkpoint)
        export(training.averaged(), autoencoder, tokenizer, out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.tiny.train", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="for the denoiser")
    parser.add_argument("--autoencoder-minutes", type=float, default=15)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--out", type=Path, default=Path("models/tiny/pack"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    train(
        arguments.minutes,
        arguments.autoencoder_minutes,
        arguments.samples,
        arguments.work,
        arguments.out,
    )


if __name__ == "__main__":
    main()
