"""A turntable shows the thing from all sides, a camera moves near things more, films are whole."""

import random
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deployments.contract import BadInput
from deployments.generators.video3d.generator import Video3DGenerator
from deployments.generators.video3d.mesh import MeshBuilder, ShapeOptions
from deployments.generators.video3d.spec import SPEC
from models.inference.local import LocalInference
from models.media.png import AI_SOURCE_TYPE
from models.media.probe import probe, read_frames
from models.mesh.errors import EmptyMesh
from models.mesh.lighting import FLAT
from models.mesh.mesh import Mesh, srgb_to_linear
from models.mesh.turntable import TurntableScene, TurntableView
from models.profiles.load import Capability
from models.tiny.drawing import draw_person
from models.tiny.world import Person
from tests.support.miniatures import meshes
from tests.support.miniatures.profile import entry, profile
from tests.support.readers import mesh_of_glb
from tests.support.running_generators import (
    STOPS_WITHIN_S,
    Run,
    as_data,
    at_stage,
    example,
    run,
)

Picture = NDArray[np.uint8]
BLUE = (40, 80, 210)
SMALL: dict[str, Any] = {"seconds": 1, "fps": 8, "width": 96, "seed": 7}


def file_of(done: Run, kind: str) -> Path:
    [found] = [artifact.path for artifact in done.artifacts if artifact.kind == kind]
    return found


def frames(done: Run) -> list[Picture]:
    return list(read_frames(file_of(done, "video")))


def saved(image: Image.Image, folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / "given.png")
    return as_data(folder / "given.png")


# The turntable.


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(SPEC, example(SPEC), tmp_path_factory.mktemp("ball"))


def test_a_prompt_s_red_ball_is_round_and_red_from_all_sides(ball: Run) -> None:
    mesh = mesh_of_glb(file_of(ball, "mesh"))
    scene = TurntableScene(
        mesh, TurntableView(96, 96, elevation=0, background=BLUE, lighting=FLAT, shadow=False)
    )
    for angle in range(0, 360, 45):
        frame = scene.render(angle).astype(int)
        seen = (np.abs(frame - BLUE).max(axis=2) > 60).astype(np.uint8)
        contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        [outline] = contours
        area, (_, radius) = cv2.contourArea(outline), cv2.minEnclosingCircle(outline)
        assert area / (np.pi * radius**2) > 0.75, angle  # a square has 0.64
        inside = frame[cv2.erode(seen, np.ones((5, 5), np.uint8)) > 0]
        red, green, blue = np.median(inside, axis=0)
        assert red > 150 and max(green, blue) < 90, angle
    assert mesh.extents.min() / mesh.extents.max() > 0.85


def test_its_mesh_is_a_file_that_others_open_and_its_facts_are_noted(ball: Run) -> None:
    scene = trimesh.load_scene(file_of(ball, "mesh"))
    [solid] = scene.geometry.values()
    facts = ball.notes["mesh"]
    assert solid.is_watertight and facts["watertight"] and facts["open_edges"] == 0
    assert len(solid.faces) == facts["triangles"] > 1000
    assert solid.extents == pytest.approx(facts["extents"], abs=1e-3)
    red, green, blue = np.median(solid.visual.vertex_attributes["color"][:, :3], axis=0)
    assert red > 3 * srgb_to_linear(np.array([90]))[0] * 255 and max(green, blue) < red / 3


def test_the_film_shows_a_red_thing_on_the_background_that_was_asked_for(tmp_path: Path) -> None:
    request = example(SPEC) | SMALL | {"background": {"top": "sky", "bottom": "#102030"}}
    done = run(SPEC, request, tmp_path)
    pictures = frames(done)
    assert len(pictures) == 8
    for frame in pictures:
        assert frame[48, 48, 0] > 2 * frame[48, 48, 1:].max()
        assert np.abs(frame[1, 48].astype(int) - (160, 205, 240)).max() < 12
        assert np.abs(frame[-2, 4].astype(int) - (16, 32, 48)).max() < 16


def test_left_and_right_are_each_other_s_mirror_in_time(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).rectangle((20, 30, 48, 66), fill=(210, 40, 40))
    ImageDraw.Draw(image).rectangle((48, 30, 76, 66), fill=(40, 80, 210))
    given = SMALL | {"mode": "turntable", "image": saved(image, tmp_path), "loop": False}
    seen = {}
    for direction in ("left", "right"):
        options = {"direction": direction, "turns": 0.25, "elevation": 0, "shadow": False}
        done = run(SPEC, given | {"turntable": options}, tmp_path / direction)
        seen[direction] = frames(done)[-1][48, 40:56].astype(int).mean(axis=0)
    # Turned to the left by a quarter its right side is in front, which is blue.
    assert seen["left"][2] > 1.5 * seen["left"][0]
    assert seen["right"][0] > 1.5 * seen["right"][2]


def test_a_person_is_cut_out_of_a_busy_scene(tmp_path: Path) -> None:
    person = Person("woman", "red", "pale", "green", "plain", "dress", "city")
    drawn = Image.fromarray(draw_person(person, random.Random(4)).picture)
    given = SMALL | {"mode": "turntable", "image": saved(drawn, tmp_path)}
    done = run(SPEC, given, tmp_path / "run")
    assert done.notes["ground"] == "depth"
    mesh = mesh_of_glb(file_of(done, "mesh"))
    assert mesh.extents[1] > 1.1 * mesh.extents[0]  # upright
    assert 0.2 < (mesh.colors[:, 1] > mesh.colors[:, 0].astype(int) + 40).mean() < 0.8


REFUSED: dict[str, tuple[Image.Image, str]] = {
    "nothing to see": (Image.new("RGB", (64, 64), "white"), "nothing_found"),
    "too small": (Image.new("RGB", (64, 20), "white"), "too_small"),
    "noise": (
        Image.frombytes("RGB", (64, 64), random.Random(3).randbytes(64 * 64 * 3)),
        "nothing_found",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_picture_of_no_thing_is_refused_in_words(fault: str, tmp_path: Path) -> None:
    image, code = REFUSED[fault]
    given = SMALL | {"mode": "turntable", "image": saved(image, tmp_path)}
    with pytest.raises(BadInput) as refused:
        run(SPEC, given, tmp_path / "run")
    assert refused.value.code == code
    assert not refused.value.detail[0].islower() and refused.value.detail.endswith(".")


def test_shap_e_is_shown_the_thing_alone_and_its_empty_shape_is_told(tmp_path: Path) -> None:
    model = entry("ShapEImg2ImgPipeline", meshes.shap_e_from_picture(tmp_path))
    shapes = MeshBuilder(LocalInference(profile(Capability.MESH, model, steps=3, guidance=3.0)))
    image = Image.new("RGB", (64, 64), BLUE)
    ImageDraw.Draw(image).ellipse((10, 10, 40, 40), fill=(210, 40, 40))
    told: list[tuple[int, int]] = []
    with pytest.raises(EmptyMesh):  # random weights draw nothing
        shapes.build(
            ShapeOptions("a ball", image, "draft", seed=1, steps=None),
            lambda done, total: told.append((done, total)),
        )
    passes = max(total for _, total in told)  # more than the 3 steps: its scheduler looks twice
    assert (1, passes) in told and told[-1] == (3, 3), "the surface is told as all steps done"
    with pytest.raises(BadInput) as refused:
        words = profile(Capability.MESH, entry("ShapEPipeline", tmp_path))
        wish = ShapeOptions(None, image, "draft", seed=1, steps=None)
        MeshBuilder(LocalInference(words)).build(wish, lambda done, total: None)
    assert refused.value.code == "capability_missing"


# Parallax.


def test_in_a_drawn_world_what_the_depth_model_calls_near_moves_farther(tmp_path: Path) -> None:
    """The picture's own motion, measured by optical flow, against the depth that was estimated."""
    person = Person("man", "black", "tan", "red", "striped", "shirt", "park")
    drawn = Image.fromarray(draw_person(person, random.Random(8)).picture)
    given = {
        "mode": "parallax", "image": saved(drawn, tmp_path), "seconds": 1, "fps": 9, "width": 256,
        "camera": {"path": "pan", "strength": 1.0}, "loop": False, "easing": "linear", "seed": 1,
    }  # fmt: skip
    done = run(SPEC, given, tmp_path / "run")
    pictures = frames(done)
    first, last = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (pictures[3], pictures[5]))
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, last, None)
    middle = cv2.cvtColor(pictures[4], cv2.COLOR_RGB2GRAY)
    near = np.asarray(Image.open(file_of(done, "depth")).convert("L")) / 255
    textured = cv2.GaussianBlur(np.abs(cv2.Sobel(middle, cv2.CV_32F, 1, 0)), (0, 0), 2) > 8
    across = np.abs(flow[..., 0])
    far, close = (float(np.median(across[textured & band])) for band in (near < 0.15, near > 0.6))
    assert far < 1 and close > far + 2


@pytest.mark.parametrize("path", ["orbit", "arc", "dolly", "pan", "zoom"])
def test_every_path_loops_without_a_jump(path: str, tmp_path: Path) -> None:
    given = example(SPEC, "parallax") | {"camera": {"path": path}, "width": 128, "fps": 16}
    pictures = [frame.astype(float) for frame in frames(run(SPEC, given, tmp_path))]
    steps = [
        float(np.abs(after - before).mean())
        for before, after in zip(pictures, [*pictures[1:], pictures[0]], strict=True)
    ]
    assert steps[-1] <= 1.5 * max(steps[:-1])
    assert max(steps) > 0.2


def test_a_film_has_its_photo_s_size_and_a_long_one_is_refused(tmp_path: Path) -> None:
    photo = Image.effect_noise((1601, 901), 60).convert("RGB").resize((1601, 901))
    given = {"mode": "parallax", "image": saved(photo, tmp_path), "seconds": 1, "fps": 8}
    done = run(SPEC, given, tmp_path / "run")
    assert (done.notes["width"], done.notes["height"]) == (1280, 720)
    long = saved(Image.new("RGB", (4000, 40)), tmp_path / "long")
    with pytest.raises(BadInput, match="less long") as refused:
        run(SPEC, given | {"image": long}, tmp_path / "refused")
    assert refused.value.code == "too_small"


def test_a_prompt_is_drawn_and_then_moved_through(tmp_path: Path) -> None:
    given = SMALL | {"mode": "parallax", "prompt": "a woman with red hair in a blue shirt"}
    done = run(SPEC, given, tmp_path)
    assert done.notes["model"] == "atelier-tiny + atelier-tiny-depth"
    assert {a.path.name for a in done.artifacts} == {
        "film.mp4", "poster.png", "depth.png", "picture.png",
    }  # fmt: skip


# The films.


@pytest.mark.parametrize("form", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("seconds", [1.0, 1.7])
def test_every_format_plays_as_long_as_was_asked(form: str, seconds: float, tmp_path: Path) -> None:
    given = example(SPEC, "parallax") | {"width": 96, "fps": 10, "seconds": seconds}
    done = run(SPEC, given | {"format": form, "poster": "jpeg"}, tmp_path)
    path = file_of(done, "video")
    found = probe(path)
    assert found.duration == pytest.approx(seconds, abs=0.1)
    assert len(frames(done)) == round(seconds * 10)
    assert (found.width, found.height) == (96, 96)
    content = path.read_bytes()
    assert AI_SOURCE_TYPE.encode() in content or form == "webm"
    assert "AI-generated" in found.metadata.get("comment", "AI-generated")
    assert file_of(done, "poster").read_bytes().startswith(b"\xff\xd8")
    if form == "mp4":
        assert found.video_codec == "h264" and content.index(b"moov") < content.index(b"mdat")
        with av.open(path) as film:
            assert film.streams.video[0].pix_fmt == "yuv420p"


def test_transparency_is_kept_by_the_formats_that_can(tmp_path: Path) -> None:
    given = example(SPEC, "transparent") | SMALL
    poster = Image.open(file_of(gif := run(SPEC, given, tmp_path / "gif"), "poster"))
    alpha = np.asarray(poster.getchannel("A"))
    assert poster.mode == "RGBA" and alpha[1, 1] == 0 and alpha[48, 48] == 255
    film = Image.open(file_of(gif, "video"))
    for number in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(number)
        clear = np.asarray(film.convert("RGBA"))
        assert clear[1, 1, 3] == 0 and clear[48, 48, 3] == 255
        assert clear[48, 48, 0] > 2 * clear[48, 48, 1:3].max()
    webm = file_of(run(SPEC, given | {"format": "webm"}, tmp_path / "webm"), "video")
    with av.open(webm) as container:
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # ffmpeg's own decoder drops alpha
        packets = list(container.demux(video=0))
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]  # type: ignore[attr-defined]
    assert len(decoded) == 8
    for frame in decoded:
        seen = frame.to_ndarray(format="rgba")
        assert seen[1, 1, 3] < 8 and seen[48, 48, 3] > 247


@pytest.mark.parametrize("name", ["parallax", "transparent"])
def test_the_same_seed_gives_the_same_files_and_a_cancel_ends_each_stage(
    name: str, tmp_path: Path
) -> None:
    request = example(SPEC, name)
    whole = run(SPEC, request, tmp_path / "one")
    assert run(SPEC, request, tmp_path / "two").made == whole.made
    for number, stage in enumerate(whole.stages):
        ended = run(SPEC, request, tmp_path / str(number), at_stage(stage))
        if ended.to_stop is not None:
            assert ended.artifacts == [] and ended.to_stop < STOPS_WITHIN_S, stage


def test_a_long_gif_can_be_stopped_while_it_is_written(tmp_path: Path) -> None:
    given = example(SPEC, "parallax") | {"format": "gif", "seconds": 8, "width": 256}
    ended = run(SPEC, given, tmp_path, at_stage("encoding"))
    assert ended.to_stop is not None and ended.to_stop < STOPS_WITHIN_S
    assert ended.artifacts == []
    assert not list((tmp_path / "work").glob("*film*"))
    assert not list((tmp_path / "work").glob(".*"))


def test_a_mesh_with_a_hole_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = MeshBuilder.build

    def open_one(self: MeshBuilder, *given: Any) -> tuple[Mesh, str]:
        mesh, ground = whole(self, *given)
        return Mesh(mesh.vertices, mesh.faces[5:], mesh.colors), ground

    monkeypatch.setattr(MeshBuilder, "build", open_one)
    facts = run(SPEC, example(SPEC, "transparent") | SMALL, tmp_path).notes["mesh"]
    assert not facts["watertight"] and facts["open_edges"] > 0
    assert Video3DGenerator.__doc__
