"""The camera's way: it loops without a jump, starts as gently as asked, and goes where it says."""

from itertools import pairwise

import pytest

from models.media.camera.easing import EASINGS, Easing, InvalidCameraPath, path_progress
from models.parallax.camera_path import Camera, CameraMotion, CameraPath

WAYS: tuple[CameraMotion, ...] = ("orbit", "arc", "dolly", "pan", "zoom")


def apart(one: Camera, other: Camera) -> float:
    return max(
        abs(one.right - other.right),
        abs(one.up - other.up),
        abs(one.forward - other.forward),
        abs(one.zoom - other.zoom),
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("easing", EASINGS)
def test_in_a_loop_the_last_frame_leads_into_the_first(way: CameraMotion, easing: Easing) -> None:
    cameras = CameraPath(way, 1.0, easing=easing, loop=True).camera_positions(48)
    steps = [apart(a, b) for a, b in pairwise([*cameras, cameras[0]])]
    assert steps[-1] <= max(steps[:-1]) * 1.15  # as long as the others: no jump
    assert max(steps) > 0


@pytest.mark.parametrize("way", ["arc", "dolly", "pan", "zoom"])
def test_without_a_loop_it_ends_at_the_end_and_reverse_goes_back(way: CameraMotion) -> None:
    there = CameraPath(way, 0.5, loop=False).camera_positions(10)
    back = CameraPath(way, 0.5, loop=False, reverse=True).camera_positions(10)
    assert apart(there[0], there[-1]) > 0.01
    assert max(apart(a, b) for a, b in zip(back, there[::-1], strict=True)) < 1e-12
    steps = [apart(a, b) for a, b in pairwise(there)]
    assert min(steps) > 0


def test_more_strength_goes_farther_and_none_stays() -> None:
    for way in WAYS:
        reach = [
            max(apart(camera, Camera()) for camera in CameraPath(way, s).camera_positions(24))
            for s in (0.0, 0.3, 1.0)
        ]
        assert reach[0] == 0 < reach[1] < reach[2]


def test_easing_is_slow_where_it_says() -> None:
    steps = {
        name: [b - a for a, b in pairwise(path_progress(21, name, loop=False, closed=False))]
        for name in EASINGS
    }
    assert steps["linear"] == pytest.approx([0.05] * 20)
    assert steps["ease_in"][0] < 0.01 < 0.09 < steps["ease_in"][-1]
    assert steps["ease_out"][-1] < 0.01 < 0.09 < steps["ease_out"][0]
    assert max(steps["ease_in_out"][0], steps["ease_in_out"][-1]) < 0.01
    for name in EASINGS:
        times = path_progress(21, name, loop=False, closed=False)
        assert (times[0], times[-1]) == (0, 1)


def test_an_open_way_is_gone_there_and_back_in_a_loop() -> None:
    times = path_progress(8, "linear", loop=True, closed=False)
    assert times == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
    assert path_progress(4, "linear", loop=True, closed=True) == [0, 0.25, 0.5, 0.75]


def test_no_frame_and_too_much_strength_are_refused() -> None:
    with pytest.raises(InvalidCameraPath, match="more seconds"):
        CameraPath().camera_positions(0)
    with pytest.raises(InvalidCameraPath, match="0 to 1"):
        CameraPath(strength=1.5).camera_positions(4)
