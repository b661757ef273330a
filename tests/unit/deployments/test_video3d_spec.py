"""What video3d takes, and what it costs."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.generators.video3d.spec import SPEC, Video3DRequest

PHOTO = {"url": "https://example.com/a.png"}
TURNING: dict[str, Any] = {"mode": "turntable", "prompt": "a red ball"}
MOVING: dict[str, Any] = {"mode": "parallax", "image": PHOTO}


def request(base: dict[str, Any], **more: Any) -> Video3DRequest:
    return Video3DRequest.model_validate(base | more)


def quote(base: dict[str, Any], **more: Any) -> int:
    return SPEC.quote(request(base, **more))


APART: dict[str, tuple[dict[str, Any], str]] = {
    "nothing to show": ({"mode": "turntable"}, "exactly one of prompt and image"),
    "both": (TURNING | {"image": PHOTO}, "exactly one of prompt and image"),
    "a camera for a turntable": (TURNING | {"camera": {}}, "give turntable"),
    "a turntable for a photo": (MOVING | {"turntable": {}}, "give camera"),
    "a background for a photo": (MOVING | {"background": "white"}, "a photo has its own"),
    "a clear MP4": (TURNING | {"background": "transparent"}, "choose format webm or gif"),
    "a clear JPEG": (
        TURNING | {"background": "transparent", "format": "gif", "poster": "jpeg"},
        "choose poster png",
    ),
    "guidance without a prompt": (MOVING | {"guidance": 3}, "guidance needs a prompt"),
    "steps of a photo": (MOVING | {"steps": 3}, "leave it out with a photo"),
    "an odd size": (MOVING | {"width": 101}, "multiple of 2"),
    "too many seconds": (MOVING | {"seconds": 21}, "less than or equal to 20"),
    "no such colour": (TURNING | {"background": "url(x)"}, "match pattern"),
}


@pytest.mark.parametrize("fault", APART)
def test_what_does_not_go_together_is_refused_in_words(fault: str) -> None:
    given, words = APART[fault]
    with pytest.raises(ValidationError, match=words):
        Video3DRequest.model_validate(given)


@pytest.mark.parametrize(
    "ground", ["sky", "#A0b1C2", "transparent", {"top": "navy", "bottom": "#ffffff"}, None]
)
def test_a_background_is_a_name_a_number_a_gradient_or_none(ground: Any) -> None:
    assert request(TURNING, background=ground, format="webm").frames == 96


def test_more_work_is_never_cheaper() -> None:
    assert quote(TURNING) < quote(TURNING, seconds=8) < quote(TURNING, seconds=20)
    assert quote(TURNING, fps=12) < quote(TURNING, fps=24) < quote(TURNING, fps=30)
    assert quote(TURNING) < quote(TURNING, width=1280) and quote(TURNING, width=256) >= 1
    assert quote(TURNING) < quote(TURNING, turntable={"detail": "fine"})
    assert quote(TURNING) < quote(TURNING, steps=60) < quote(TURNING, steps=100)
    assert quote({"mode": "turntable", "image": PHOTO}) < quote(TURNING)
    assert quote(MOVING, width=512, height=288) < quote(MOVING) < quote(MOVING, width=1280)
    assert quote(MOVING) < quote({"mode": "parallax", "prompt": "a beach"})


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(1, 8, 8), (2.5, 12, 30), (3.3, 24, 79)])
def test_the_frames_are_those_nearest_to_the_seconds(seconds: float, fps: int, frames: int) -> None:
    assert request(TURNING, seconds=seconds, fps=fps).frames == frames
