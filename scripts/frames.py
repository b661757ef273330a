"""Draw some frames of a film side by side.

python -m scripts.frames film.mp4 --count 6 --out strip.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from models.media.poster import read_frame_at
from models.media.probe import UnreadableVideo, probe

GAP = 4


def strip(film: Path, count: int, height: int) -> Image.Image:
    """Draw ``count`` evenly spaced frames, each ``height`` pixels high.

    Raises:
        UnreadableVideo: the file is no film.
    """
    seconds = probe(film).duration
    moments = [seconds * (number + 0.5) / count for number in range(count)]
    frames = [Image.fromarray(read_frame_at(film, moment)) for moment in moments]
    width = round(frames[0].width * height / frames[0].height)
    resample = Image.Resampling.NEAREST if height > frames[0].height else Image.Resampling.LANCZOS
    whole = Image.new("RGB", (count * (width + GAP) - GAP, height), "white")
    for number, frame in enumerate(frames):
        whole.paste(frame.resize((width, height), resample), (number * (width + GAP), 0))
    return whole


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.frames", description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--height", type=int, default=160, help="of each frame, in pixels")
    parser.add_argument("--out", type=Path, default=Path("strip.png"))
    arguments = parser.parse_args(argv)
    try:
        strip(arguments.film, max(1, arguments.count), arguments.height).save(arguments.out)
    except UnreadableVideo as error:
        sys.exit(f"{arguments.film}: {error}")
    print(arguments.out)


if __name__ == "__main__":
    main()
