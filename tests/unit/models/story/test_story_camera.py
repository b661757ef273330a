"""The camera, the ways from scene to scene, films that are stretched: on pictures drawn here."""

import numpy as np
import pytest
from PIL import Image

from models.media.camera.ken_burns import (
    PictureGeometry,
    StillCamera,
    default_move,
    plan_crop_path,
)
from models.media.camera.transitions import fade_out_frame, transition_frame
from models.storyfilm.blurred_sides import with_blurred_sides
from models.storyfilm.loop_clip import MIN_SPEED, LoopedClip

MOVES = ("zoom_in", "zoom_out", "pan_left", "pan_right", "tilt_up", "tilt_down", "still")
SHAPES = [(64, 64, 160, 90), (64, 64, 90, 160), (160, 90, 160, 90), (90, 160, 160, 90)]


def gradient(width: int, height: int) -> Image.Image:
    """Red rises to the right, green downwards: a pixel says where it comes from."""
    x = np.linspace(0, 255, width, dtype=np.uint8)
    y = np.linspace(0, 255, height, dtype=np.uint8)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = x[None, :], y[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("move", MOVES)
def test_the_camera_never_leaves_the_picture_and_goes_its_way(
    shape: tuple[int, int, int, int], move: str
) -> None:
    picture = PictureGeometry(*shape, zoom=1.1)
    path = plan_crop_path(picture, move, 6.0)  # type: ignore[arg-type]
    views = [path.at(moment) for moment in np.linspace(0, 1, 13)]
    for view in views:
        wide, high = picture.visible_size(view.zoom)
        assert wide / 2 - 1e-9 <= view.x <= 1 - wide / 2 + 1e-9
        assert high / 2 - 1e-9 <= view.y <= 1 - high / 2 + 1e-9
    x, y, zoom = (np.array([getattr(v, name) for v in views]) for name in ("x", "y", "zoom"))
    goes = {
        "zoom_in": zoom, "zoom_out": -zoom, "pan_right": x, "pan_left": -x,
        "tilt_down": y, "tilt_up": -y,
    }  # fmt: skip
    if move == "still":
        assert len(set(views)) == 1
    else:
        assert (np.diff(goes[move]) > 0).all()


def test_frames_show_what_the_camera_sees() -> None:
    picture = PictureGeometry(64, 64, 160, 90)
    still = StillCamera(gradient(64, 64), picture, plan_crop_path(picture, "pan_right", 20.0))
    first, last = still.frame(0.0), still.frame(1.0)
    assert first.shape == (90, 160, 3)
    assert first[45, 0, 0] < 4 and last[45, -1, 0] > 251, "from edge to edge"
    assert np.array_equal(still.frame(2.0), last), "after its move it rests"
    middle = still.frame(0.5)
    assert int(middle[45, 80, 0]) == pytest.approx(127, abs=3)


def test_slow_moves_are_smooth() -> None:
    picture = PictureGeometry(256, 256, 160, 90)
    still = StillCamera(gradient(256, 256), picture, plan_crop_path(picture, "zoom_in", 10.0))
    edge = np.array([float(still.frame(m)[45, :20, 0].mean()) for m in np.linspace(0.3, 0.7, 60)])
    steps = np.diff(edge)
    assert (steps > -0.06).all() and steps.max() < 4 * max(steps.mean(), 0.05)


def test_a_wide_picture_of_which_little_fits_is_panned_over() -> None:
    assert default_move(PictureGeometry(160, 40, 90, 90), "wide", 1).startswith("pan")
    assert default_move(PictureGeometry(160, 90, 160, 90), "wide", 1).startswith("zoom")


def flat(value: int) -> np.ndarray:
    return np.full((20, 40, 3), value, np.uint8)


def test_a_crossfade_goes_evenly_from_one_scene_to_the_next() -> None:
    means = [
        transition_frame("crossfade", flat(40), flat(200), s).mean() for s in np.linspace(0, 1, 9)
    ]
    assert means[0] == 40 and means[-1] == 200 and (np.diff(means) > 0).all()
    assert means[4] == pytest.approx(120, abs=1)


@pytest.mark.parametrize(("kind", "ground"), [("dip_to_black", 0), ("dip_to_white", 255)])
def test_a_dip_goes_by_way_of_its_colour(kind: str, ground: int) -> None:
    assert (transition_frame(kind, flat(40), flat(200), 0.5) == ground).all()
    assert transition_frame(kind, flat(40), flat(200), 0.01).mean() == pytest.approx(40, abs=2)
    assert transition_frame(kind, flat(40), flat(200), 0.99).mean() == pytest.approx(200, abs=2)
    assert (transition_frame(kind, None, flat(200), 0.0) == ground).all()


def test_a_wipe_comes_from_the_left() -> None:
    half = transition_frame("wipe", flat(40), flat(200), 0.5)
    assert half[0, 2].mean() == 200 and half[0, -2].mean() == 40
    assert (np.diff(half[0, :, 0].astype(int)) <= 0).all()


def test_a_film_ends_in_black() -> None:
    assert fade_out_frame(flat(200), 0.0).mean() == 200
    assert fade_out_frame(flat(200), 1.0).max() == 0


def test_a_short_film_fills_a_long_scene_without_a_jump() -> None:
    frames = [flat(20 * n) for n in range(9)]  # one second at 8 a second
    long = LoopedClip(frames, 8.0, 10.0)
    seen = np.array([long.frame(t).mean() for t in np.arange(0, 10, 1 / 24)])
    assert np.abs(np.diff(seen)).max() <= 20 * 8 / 24
    assert seen.max() == pytest.approx(160, abs=3) and seen.min() < 3
    assert seen[24] == pytest.approx(160 * MIN_SPEED, abs=3), (
        "it is slowed down, but not to a crawl"
    )
    quick = LoopedClip(frames, 8.0, 1.0)
    assert quick.frame(1.0).mean() == 160


def test_a_picture_is_widened_around_its_middle() -> None:
    pixels = np.asarray(gradient(64, 64))
    wide = with_blurred_sides(pixels, 16 / 9)
    assert wide.shape == (64, 114, 3)
    assert np.array_equal(wide[:, 25 + 8 : 89 - 8], pixels[:, 8:-8])
    assert np.abs(wide[32, 1:, 0].astype(int) - wide[32, :-1, 0]).max() < 12, "no seam"
    assert with_blurred_sides(wide, 1.0) is wide
