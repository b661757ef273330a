"""The turntable draws what is there, from every side."""

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.mesh.lighting import FLAT
from models.mesh.mesh import Mesh
from models.mesh.silhouette import mesh_from_silhouette
from models.mesh.turntable import (
    InvalidView,
    Orbit,
    TurntableScene,
    TurntableView,
    turntable_frames,
)

BLUE = (30, 60, 200)
PLAIN = TurntableView(128, 128, background=BLUE, shadow=False)
SIDES = {  # of a cube: which way it looks, its colour
    (0, 0, 1): (220, 30, 30),
    (1, 0, 0): (30, 200, 30),
    (0, 0, -1): (230, 210, 20),
    (-1, 0, 0): (200, 30, 200),
    (0, 1, 0): (250, 250, 250),
    (0, -1, 0): (20, 20, 20),
}


@pytest.fixture(scope="module")
def ball() -> Mesh:
    image = Image.new("RGB", (64, 64), BLUE)
    ImageDraw.Draw(image).ellipse((16, 14, 48, 46), fill=(220, 30, 30))
    return mesh_from_silhouette(image, np.asarray(image)[..., 0] > 120, resolution=24)


@pytest.fixture(scope="module")
def cube() -> Mesh:
    vertices, faces, colors = [], [], []
    for direction, color in SIDES.items():
        out = np.array(direction, float)
        across = np.array([0.0, 0, 1]) if direction[1] else np.array([0.0, 1, 0])
        along = np.cross(across, out)
        start = len(vertices)
        vertices += [out + s * along + t * across for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        faces += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
        colors += [color] * 4
    return Mesh(
        np.array(vertices, np.float32), np.array(faces, np.int32), np.array(colors, np.uint8)
    )


def thing(frame: np.ndarray) -> np.ndarray:
    """Where the mesh is: everything that is not the blue ground."""
    return np.abs(frame.astype(int) - BLUE).max(axis=2) > 60


def test_a_red_ball_is_round_and_red_from_eight_sides(ball: Mesh) -> None:
    scene = TurntableScene(ball, PLAIN)
    for angle in range(0, 360, 45):
        frame = scene.render(angle)
        seen = thing(frame)
        outline = cv2.findContours(seen.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        (contour,) = outline[0]
        hull = cv2.contourArea(cv2.convexHull(contour))
        assert cv2.contourArea(contour) / hull > 0.97
        (_, radius) = cv2.minEnclosingCircle(contour)
        assert hull / (np.pi * radius**2) > 0.93
        assert seen.sum() > 0.25 * seen.size  # it fills the frame
        inner = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        red, green, blue = frame[inner].astype(int).T
        assert (red > 4 * np.maximum(green, blue)).all()  # shaded, never another colour


def test_each_side_of_a_cube_comes_to_the_front_in_turn(cube: Mesh) -> None:
    scene = TurntableScene(
        cube, TurntableView(96, 96, elevation=0, background=BLUE, shadow=False, lighting=FLAT)
    )
    order = [(0, 0, 1), (1, 0, 0), (0, 0, -1), (-1, 0, 0)]
    for number, direction in enumerate(order):
        frame = scene.render(90 * number)
        assert np.abs(frame[48, 48].astype(int) - SIDES[direction]).max() <= 1
    above = TurntableScene(
        cube, TurntableView(96, 96, elevation=60, background=BLUE, shadow=False, lighting=FLAT)
    )
    assert (above.render(0)[30:50, 48] == SIDES[0, 1, 0]).all()  # the lid, and never the floor
    assert not (np.abs(above.render(30).astype(int) - SIDES[0, -1, 0]).max(axis=2) < 5).any()


def test_light_comes_from_above_and_no_pixel_is_missing(ball: Mesh) -> None:
    frame = TurntableScene(ball, PLAIN).render(30)
    seen = thing(frame)
    rows = np.flatnonzero(seen.any(axis=1))
    third = len(rows) // 3
    assert frame[rows[:third]][seen[rows[:third]], 0].mean() > (
        1.3 * frame[rows[-third:]][seen[rows[-third:]], 0].mean()
    )
    for row in rows[2:-2]:
        columns = np.flatnonzero(seen[row])
        assert columns[-1] - columns[0] + 1 == len(columns)  # no crack between faces


def test_edges_are_smooth_and_the_shadow_lies_on_the_ground(ball: Mesh) -> None:
    frame = TurntableScene(ball, PLAIN).render(0).astype(int)
    between = (frame[..., 2] < 180) & (frame[..., 2] > 60)
    assert between.sum() > 100  # pixels that are part ball, part ground
    hard = TurntableScene(
        ball, TurntableView(128, 128, background=BLUE, shadow=False, samples=1)
    ).render(0)
    assert ((hard[..., 2] < 180) & (hard[..., 2] > 60)).sum() < 10

    shadowed = TurntableScene(ball, TurntableView(128, 128, background=BLUE)).render(0).astype(int)
    darker = shadowed.sum(axis=2) < frame.sum(axis=2) - 30
    assert darker.sum() > 200
    assert np.flatnonzero(darker.any(axis=1)).min() > 64  # below the middle
    assert not (darker & thing(frame.astype(np.uint8))).sum() > 100  # the ball itself is lit alike


def test_the_film_goes_round_once_and_closes(ball: Mesh) -> None:
    angles = Orbit(seconds=2, fps=6).angles()
    assert angles == pytest.approx([30 * n for n in range(12)])  # the next would be the first again
    once = Orbit(seconds=2, fps=6, turns=-0.5, start=10, easing="ease_in_out", loop=False).angles()
    assert (once[0], once[-1]) == (10, -170)
    steps = np.abs(np.diff(once))
    assert steps[0] < steps[5] / 3  # it starts gently
    frames = list(turntable_frames(ball, TurntableView(32, 24), Orbit(seconds=1, fps=5)))
    assert len(frames) == 5
    assert all(frame.shape == (24, 32, 3) and frame.dtype == np.uint8 for frame in frames)


def test_views_that_show_nothing_are_refused(ball: Mesh) -> None:
    for wrong in ({"width": 4}, {"elevation": 90.0}, {"samples": 0}):
        with pytest.raises(InvalidView):
            TurntableView(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidView, match="no frame"):
        Orbit(seconds=0.01, fps=10).angles()


def least_cpu_s(work: Callable[[], object]) -> float:
    """The CPU of ``work`` when the least came between, in seconds."""
    taken = []
    for _ in range(10):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def test_it_is_quick_enough_to_make_films_on_a_cpu(ball: Mesh) -> None:
    assert 1500 < len(ball.faces) < 2500
    scene = TurntableScene(ball, TurntableView(256, 256))
    frame_s = least_cpu_s(lambda: scene.render(30))
    loop_s = least_cpu_s(lambda: sum(range(2_000_000)))
    assert frame_s < 6 * loop_s  # some 1.4 times; the loop says how slow this machine is
