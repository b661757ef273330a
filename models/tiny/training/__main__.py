"""Train the models of the tiny pack from seeds: ``python -m models.tiny.training STAGE...``.

Stages in their order: autoencoder, text_to_image, image_encoder, inpaint (with the garment
adapter), identity, parsing, depth, motion, worn_garments, style, control; without a name all of
them run. A stage needs the earlier ones in ``--pack``. Lengths are in minutes, so another machine
runs another number of steps and gets different weights of the same kind. An interrupted stage
resumes from its last checkpoint. With ``--from-pack`` autoencoder, text_to_image and parsing start
from the pack's weights.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from transformers import CLIPVisionModelWithProjection

from models.tiny.training.autoencoder import train_autoencoder
from models.tiny.training.control import train_control
from models.tiny.training.denoiser import Parts, load_parts, new_parts, train_denoiser
from models.tiny.training.depth import train_depth
from models.tiny.training.identity import train_identity
from models.tiny.training.image_encoder import train_image_encoder, train_worn_garments
from models.tiny.training.inpaint import train_inpaint
from models.tiny.training.motion import train_motion
from models.tiny.training.parsing import train_parsing
from models.tiny.training.style import train_style

PACK = Path("models/tiny/pack")


class Run:
    """The settings of one run of the script: folders, number of samples and minutes."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.pack, self.work = arguments.pack, arguments.work
        self.samples, self.from_pack = arguments.samples, arguments.from_pack
        self.minutes: float | None = arguments.minutes

    def seconds(self, usual_minutes: float) -> float:
        """Return the seconds a stage trains for; ``--minutes`` overrides the default."""
        return 60 * (self.minutes or usual_minutes)

    def base(self) -> Parts:
        """Load the finished text-to-image model."""
        return load_parts(self.pack / "text_to_image", self.autoencoder())

    def autoencoder(self) -> AutoencoderTiny:
        """Load the finished autoencoder."""
        return AutoencoderTiny.from_pretrained(self.pack / "text_to_image" / "vae").eval()

    def encoder(self) -> CLIPVisionModelWithProjection:
        """Load the finished image encoder."""
        return CLIPVisionModelWithProjection.from_pretrained(self.pack / "image_encoder").eval()


def _autoencoder(run: Run) -> None:
    out = run.pack / "text_to_image" / "vae"
    train_autoencoder(run.samples, run.seconds(18), run.work, out, run.from_pack)


def _text_to_image(run: Run) -> None:
    parts = run.base() if run.from_pack else new_parts(run.autoencoder())
    out = run.pack / "text_to_image"
    train_denoiser(parts, run.samples, run.seconds(130), run.work, out)


def _image_encoder(run: Run) -> None:
    train_image_encoder(run.samples // 2, run.seconds(5), run.work, run.pack / "image_encoder")


def _inpaint(run: Run) -> None:
    base, encoder, seconds = run.base(), run.encoder(), run.seconds(40)
    out, garment = run.pack / "inpaint", run.pack / "garment"
    train_inpaint(base, encoder, run.samples // 2, seconds, run.work, out, garment)


def _identity(run: Run) -> None:
    out = run.pack / "identity"
    base, encoder, seconds = run.base(), run.encoder(), run.seconds(20)
    train_identity(base, encoder, run.samples // 2, seconds, run.work, out)


def _parsing(run: Run) -> None:
    out = run.pack / "parsing"
    train_parsing(run.samples // 2, run.seconds(12), run.work, out, run.from_pack)


def _depth(run: Run) -> None:
    train_depth(run.samples // 2, run.seconds(5), run.work, run.pack / "depth")


def _motion(run: Run) -> None:
    out = run.pack / "motion"
    train_motion(run.base(), run.samples // 10, run.seconds(18), run.work, out)


def _worn_garments(run: Run) -> None:
    out = run.pack / "image_encoder"
    train_worn_garments(run.encoder(), run.samples // 2, run.seconds(10), run.work, out)


def _style(run: Run) -> None:
    train_style(run.base(), run.samples // 4, run.seconds(10), run.work, run.pack / "styles")


def _control(run: Run) -> None:
    train_control(run.base(), run.samples // 2, run.seconds(15), run.work, run.pack / "control")


STAGES: dict[str, Callable[[Run], None]] = {
    "autoencoder": _autoencoder,
    "text_to_image": _text_to_image,
    "image_encoder": _image_encoder,
    "inpaint": _inpaint,
    "identity": _identity,
    "parsing": _parsing,
    "depth": _depth,
    "motion": _motion,
    "worn_garments": _worn_garments,
    "style": _style,
    "control": _control,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.tiny.training", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--minutes", type=float, help="for each stage, instead of its usual time")
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--from-pack", action="store_true", help="start from the pack's weights")
    parser.add_argument("--work", type=Path, default=Path(".train"), help="checkpoints")
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    unknown = [stage for stage in arguments.stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    run = Run(arguments)
    for stage in arguments.stages or STAGES:
        STAGES[stage](run)


if __name__ == "__main__":
    main()
