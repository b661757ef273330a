"""The jobs that customers of the harness ask for: every generator, the quick ones most often."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scripts.dev.cluster import ROOT

SERVED = (
    "deployments.generators.image",
    "deployments.generators.cloth_swap",
    "deployments.generators.influencer",
    "deployments.generators.video3d",
    "deployments.generators.study_animation",
    "deployments.generators.story_video",
)
# Without models, so that hundreds of jobs pass in minutes: one writes pages, keeps those that it
# has, and stops when told to; the other holds its replica for a while.
TOYS = ("tests.support.scribe", "tests.support.toys.ann")

LESSON = "# Squares\n\n## Sides\n\n- Four of them\n- All alike\n"
STORY = "Mira was a woman with red hair. Mira walked along the beach in her blue shirt."


@dataclass(frozen=True)
class Work:
    """A kind of job, and how often it comes."""

    generator: str
    input: dict[str, Any]
    weight: float


def works() -> list[Work]:
    person = _picture("deployments/generators/cloth_swap/example/person.png")
    shirt = _picture("deployments/generators/cloth_swap/example/shirt.png")
    mira = _picture("deployments/generators/influencer/example/mira.png")
    set_of_one = {
        "person": {"reference_images": [mira], "consent": True, "description": "red hair"},
        "images": [{"scene": "beach"}],
    }
    garments = [{"image": shirt, "category": "upper"}]
    turntable = {"mode": "turntable", "prompt": "a big red circle", "seconds": 1, "fps": 8}
    return [
        Work("scribe", {"text": "quick"}, 40),
        Work("scribe", {"text": "slow", "pages": 5, "page_s": 0.4, "keep": True}, 15),
        Work("ann", {"seconds": 1.0}, 25),
        Work("image", {"prompt": "a small red star on a white background", "steps": 4}, 4),
        Work("cloth_swap", {"person_image": person, "garments": garments}, 1),
        Work("influencer", set_of_one, 1),
        Work("video3d", {**turntable, "width": 128}, 1),
        Work("study_animation", {"markdown": LESSON, "resolution": "360p", "fps": 8}, 1),
        Work("story_video", {"story": STORY, "resolution": "360p", "fps": 8}, 1),
    ]


def _picture(path: str) -> dict[str, str]:
    content = base64.b64encode((ROOT / path).read_bytes()).decode()
    return {"data": f"data:image/png;base64,{content}"}


def names(modules: Iterable[str]) -> tuple[str, ...]:
    """Of the generators, as jobs and replicas are called."""
    return tuple(module.rpartition(".")[2] for module in modules)
