"""The camera moves through a photo: near things move farther, and what they hid is filled."""

import random

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.parallax.camera_path import Camera, CameraMotion, CameraPath
from models.parallax.layers import push_pull_fill, sharpen_depth_edges, split_into_layers
from models.parallax.render import InvalidDepth, ParallaxScene, parallax_frames
from models.tiny.drawing import draw_person
from models.tiny.world import Person

SIZE = 192
SKY = (150, 190, 230)
# A square each: nearness, colour, its middle.
THINGS = (
    (0.2, (200, 40, 40), (40, 60)),
    (0.5, (40, 160, 60), (150, 60)),
    (0.75, (40, 60, 200), (44, 140)),
    (1.0, (240, 200, 40), (140, 140)),
)
Picture = NDArray[np.uint8]
Near = NDArray[np.float32]


def scene() -> tuple[Picture, Near]:
    picture = np.full((SIZE, SIZE, 3), SKY, np.uint8)
    near = np.zeros((SIZE, SIZE), np.float32)
    for nearness, colour, (x, y) in THINGS:
        picture[y - 18 : y + 18, x - 18 : x + 18] = colour
        near[y - 18 : y + 18, x - 18 : x + 18] = nearness
    return picture, near


def shown(frame: Picture) -> list[NDArray[np.bool_]]:
    """Where each thing is seen: a pixel belongs to what its colour is nearest to."""
    colours = np.array([thing[1] for thing in THINGS] + [SKY])
    away = np.linalg.norm(frame[:, :, None].astype(float) - colours, axis=3)
    return [away.argmin(axis=2) == number for number in range(len(THINGS))]


def middles(frame: Picture) -> list[NDArray[np.float64]]:
    """Where each thing is: column and row of its middle."""
    return [np.argwhere(seen).mean(axis=0)[::-1] for seen in shown(frame)]


def moved(way: CameraMotion, picture: Picture, near: Near) -> list[float]:
    """How far each thing is moved from one end of the way to the other."""
    cameras = CameraPath(way, 1.0, loop=False).camera_positions(9)
    if way == "orbit":
        cameras = [cameras[2], cameras[6]]  # right and left
    stage = ParallaxScene(picture, near, cameras)
    first, last = stage.render(cameras[0]), stage.render(cameras[-1])
    return [
        float(np.linalg.norm(b - a)) for a, b in zip(middles(first), middles(last), strict=True)
    ]


@pytest.mark.parametrize("way", ["orbit", "arc", "pan"])
def test_the_nearer_a_thing_the_farther_it_moves(way: CameraMotion) -> None:
    far = moved(way, *scene())
    assert far == sorted(far)
    assert far[0] > 1
    nearness = [thing[0] for thing in THINGS]
    if way != "arc":  # that one comes nearer on its way, too
        ratios = [f / n for f, n in zip(far, nearness, strict=True)]
        assert max(ratios) < 1.15 * min(ratios)  # in proportion to the nearness


@pytest.mark.parametrize("way", ["dolly", "zoom"])
def test_going_in_the_nearer_a_thing_the_more_it_grows(way: CameraMotion) -> None:
    cameras = CameraPath(way, 1.0, loop=False).camera_positions(5)
    stage = ParallaxScene(*scene(), cameras)
    before, after = (shown(stage.render(camera)) for camera in (cameras[0], cameras[-1]))
    grown = [float(b.sum() / a.sum()) for a, b in zip(before, after, strict=True)]
    assert grown == sorted(grown)
    assert grown[0] > 1.03 and grown[-1] > grown[0] + 0.1


def test_the_focus_stays_and_what_is_behind_goes_the_other_way() -> None:
    picture, near = scene()
    cameras = [Camera(right=-0.05), Camera(right=0.05)]
    stage = ParallaxScene(picture, near, cameras, focus=0.5)
    first, last = (middles(stage.render(camera)) for camera in cameras)
    across = [float(b[0] - a[0]) for a, b in zip(first, last, strict=True)]
    assert abs(across[1]) < 0.7
    assert across[0] > 2 and across[2] < -2


def test_a_still_camera_shows_the_photo() -> None:
    picture, near = scene()
    frame = ParallaxScene(picture, near, [Camera()]).render(Camera())
    assert cv2.PSNR(frame, picture) > 30  # edges as hard as these are drawn a little softer
    person = draw_person(
        Person("woman", "red", "pale", "yellow", "striped", "shirt", "city"), random.Random(5)
    )
    frame = ParallaxScene(person.picture, person.depth, [Camera()]).render(Camera())
    assert frame.shape == person.picture.shape
    assert np.abs(frame.astype(int) - person.picture).mean() < 6


def test_what_a_layer_hid_is_filled_from_its_surroundings() -> None:
    picture, near = scene()
    for way in ("orbit", "arc", "dolly", "pan", "zoom"):
        path = CameraPath(way, 1.0)  # type: ignore[arg-type]
        cameras = path.camera_positions(8)
        for frame in parallax_frames(ParallaxScene(picture, near, cameras), cameras):
            colours = np.array([SKY, *(thing[1] for thing in THINGS)])
            away = np.abs(frame[:, :, None].astype(int) - colours).max(axis=3).min(axis=2)
            assert (away > 60).mean() < 0.03  # the edges' own mixtures, and nothing else
            border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
            assert (np.abs(border.astype(int) - SKY).max(axis=1) < 6).all()


def test_a_slope_is_bent_without_a_tear() -> None:
    """A floor seen along it: one colour, and no line across it may open."""
    picture = np.full((128, 128, 3), (90, 140, 80), np.uint8)
    near = np.tile(np.linspace(0, 1, 128, dtype=np.float32)[:, None], (1, 128))
    cameras = CameraPath("orbit", 1.0).camera_positions(6)
    for frame in parallax_frames(ParallaxScene(picture, near, cameras), cameras):
        assert np.abs(frame.astype(int) - (90, 140, 80)).max() <= 2


def test_a_coarse_edge_is_moved_to_the_edge_of_the_picture() -> None:
    picture, near = scene()
    coarse = cv2.resize(cv2.resize(near, (24, 24), interpolation=cv2.INTER_AREA), (SIZE, SIZE))
    assert np.abs(coarse - near).max() > 0.3
    sharp = sharpen_depth_edges(picture, coarse, edge_width=6)
    assert (np.abs(sharp - near) > 0.1).mean() < 0.5 * (np.abs(coarse - near) > 0.1).mean()
    steps = np.abs(np.diff(sharp[140]))  # through two things
    assert (steps > 0.3).sum() >= 4 and ((steps > 0.02) & (steps < 0.3)).sum() <= 8


def test_layers_go_on_behind_others_and_a_hole_is_filled_from_around() -> None:
    picture, near = scene()
    layers = list(split_into_layers(picture, near))
    assert len(layers) == 5
    sky = layers[0].premultiplied_rgba
    assert sky[..., 3].min() == 1
    assert np.abs(sky[..., :3] - SKY).max() < 3  # all of it, also behind the things
    known = np.ones((40, 60), np.float32)
    known[10:30, 10:50] = 0
    values = np.dstack([np.tile(np.linspace(0, 100, 60, dtype=np.float32), (40, 1))])
    filled = push_pull_fill(values * known[..., None], known)
    assert np.abs(filled - values).max() < 22
    assert (filled[known > 0] == values[known > 0]).all()


def test_the_same_again_and_a_depth_that_does_not_fit_is_refused() -> None:
    picture, near = scene()
    cameras = CameraPath("orbit", 1.0).camera_positions(3)
    first, second = (
        list(parallax_frames(ParallaxScene(picture, near, cameras), cameras)) for _ in "ab"
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    with pytest.raises(InvalidDepth, match="depth is"):
        ParallaxScene(picture, near[:-1], cameras)
    with pytest.raises(InvalidDepth, match=r"0\.\.1"):
        ParallaxScene(picture, near * 3, cameras)
