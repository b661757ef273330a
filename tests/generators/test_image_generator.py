"""The image generator redraws, repaints, continues and enlarges, and refuses what does not go."""

import base64
import io
import random
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import ValidationError

from deployments.contract import BadInput
from deployments.generators.image.spec import SPEC, ImageRequest, Scheduler
from models.diffusion import schedulers
from models.media.images import read_image
from models.tiny.checker import read_person, read_shape
from models.tiny.drawing import draw_shape
from models.tiny.world import Shape
from tests.support.color_profiles import P3, in_space, rgb_profile
from tests.support.images_alike import assert_same_but_for_rounding
from tests.support.readers import metadata_of_picture
from tests.support.running_generators import Run, as_data, example, loaded, run

CIRCLE = "a big red circle on a white background"


def pixels(done: Run, number: int = 0) -> NDArray[np.uint8]:
    return np.asarray(Image.open(done.artifacts[number].path).convert("RGB"))


def given(name: str) -> Image.Image:
    data = example(SPEC, name)["init_image"]["data"].partition(",")[2]
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def saved(image: Image.Image, path: Path) -> dict[str, str]:
    image.save(path)
    return as_data(path)


def test_the_schedulers_of_the_schema_are_those_the_models_know() -> None:
    assert set(get_args(Scheduler)) == {"default", *schedulers._SCHEDULERS}


def test_a_picture_redrawn_follows_the_prompt(tmp_path: Path) -> None:
    seen = read_shape(pixels(run(SPEC, example(SPEC, "redraw"), tmp_path)))
    assert (seen["color"], seen["background"]) == ("blue", "white")


def test_what_is_not_masked_stays_pixel_for_pixel_at_any_size(tmp_path: Path) -> None:
    photo = given("repaint").resize((150, 200), Image.Resampling.LANCZOS)
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).rectangle((50, 70, 100, 130), fill=255)
    request = example(SPEC, "repaint") | {
        "init_image": saved(photo, tmp_path / "photo.png"),
        "mask": saved(mask, tmp_path / "mask.png"),
    }
    done = run(SPEC, request, tmp_path / "run")
    painted = np.asarray(mask) > 0
    before = np.asarray(photo)
    for number in range(2):
        after = pixels(done, number)
        assert (after[~painted] == before[~painted]).all()
        assert (after[painted] != before[painted]).any(axis=-1).mean() > 0.5


def test_outside_the_mask_a_picture_with_a_profile_keeps_its_colors_in_srgb(tmp_path: Path) -> None:
    colors = np.asarray(given("repaint"))
    wide = tmp_path / "wide.png"
    Image.fromarray(in_space(colors, P3)).save(wide, icc_profile=rgb_profile(P3))
    mask = Image.new("L", (colors.shape[1], colors.shape[0]))
    ImageDraw.Draw(mask).rectangle((18, 22, 46, 44), fill=255)
    request = example(SPEC, "repaint") | {
        "init_image": as_data(wide),
        "mask": saved(mask, tmp_path / "mask.png"),
        "n": 1,
    }
    done = run(SPEC, request, tmp_path / "run")
    outside = np.asarray(mask) == 0
    kept = pixels(done)[outside].astype(int)
    assert (kept == np.asarray(read_image(wide))[outside]).all()
    assert np.abs(kept - colors[outside]).max() <= 3
    assert Image.open(done.artifacts[0].path).info["srgb"] == 0


def test_the_repainted_shirt_has_the_colour_that_was_asked_for(tmp_path: Path) -> None:
    done = run(SPEC, example(SPEC, "repaint"), tmp_path)
    assert read_person(pixels(done, 1))["color"] == "yellow"


def test_a_transparent_part_is_a_mask_too(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), "white")
    clear.paste((0, 0, 0, 0), (18, 22, 47, 45))
    request = example(SPEC, "repaint") | {"mask": saved(clear, tmp_path / "clear.png"), "n": 1}
    as_white = run(SPEC, example(SPEC, "repaint") | {"n": 1}, tmp_path / "white")
    assert_same_but_for_rounding(run(SPEC, request, tmp_path / "clear"), as_white)


def test_a_picture_is_continued_and_keeps_what_it_was(tmp_path: Path) -> None:
    request = example(SPEC, "extend") | {"extend": {"left": 24, "right": 40, "bottom": 8}}
    after = pixels(run(SPEC, request, tmp_path))
    assert after.shape == (72, 128, 3)
    assert (after[:64, 24:88] == np.asarray(given("extend"))).all()
    assert after[:, :24].mean() > 200 and after[:, 88:].mean() > 200, "the white goes on"


def test_an_enlarged_picture_shows_the_same(tmp_path: Path) -> None:
    done = run(SPEC, example(SPEC, "enlarge") | {"format": "png"}, tmp_path)
    assert pixels(done).shape == (256, 256, 3)
    seen = read_shape(np.asarray(Image.open(done.artifacts[0].path).resize((64, 64))))
    assert (seen["color"], seen["background"]) == ("yellow", "purple")


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_every_format_tells_how_it_was_made(form: str, tmp_path: Path) -> None:
    done = run(SPEC, {"prompt": f"{CIRCLE} 雨", "seed": 9, "n": 2, "format": form}, tmp_path)
    second = metadata_of_picture(done.artifacts[1].path.read_bytes())
    assert (second.prompt, second.seed, second.model) == (f"{CIRCLE} 雨", 10, "atelier-tiny")


def colourfulness(picture: NDArray[np.uint8]) -> float:
    return float((picture.max(axis=2).astype(int) - picture.min(axis=2)).mean())


def test_a_lora_works_as_strongly_as_it_is_asked_to(tmp_path: Path) -> None:
    request = {"prompt": f"{CIRCLE}", "seed": 3, "n": 2}
    plain = run(SPEC, request, tmp_path / "plain")
    by_weight = [
        run(SPEC, request | {"loras": [{"name": "noir", "weight": w}]}, tmp_path / str(w))
        for w in (0.0, 0.5, 1.0)
    ]
    assert_same_but_for_rounding(by_weight[0], plain)
    colours = [colourfulness(pixels(done)) for done in by_weight]
    assert colours[2] < 0.3 * colours[0] and colours[2] < colours[1] < colours[0]
    shown = read_shape(pixels(by_weight[2]))
    assert (shown["kind"], shown["background"]) == ("circle", "white")
    assert by_weight[2].notes["loras"] == [{"name": "noir", "weight": 1.0}]


@pytest.mark.parametrize("fault", ["no such", "made for another model"])
def test_a_lora_that_is_not_listed_for_the_model_is_refused(fault: str, tmp_path: Path) -> None:
    name = "noir" if fault == "made for another model" else "../../secret"
    if fault == "no such":
        with pytest.raises(ValidationError):
            ImageRequest.model_validate({"prompt": "x", "loras": [{"name": name}]})
        request: dict[str, Any] = {"prompt": "x", "loras": [{"name": "secret"}]}
    else:
        request = example(SPEC, "repaint") | {"loras": [{"name": name}]}
    with pytest.raises(BadInput, match="there are: " + ("noir" if fault == "no such" else "none")):
        run(SPEC, request, tmp_path)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_transparent_ground_leaves_the_thing_alone(form: str, tmp_path: Path) -> None:
    request = {"prompt": CIRCLE, "seed": 3, "background": "transparent", "format": form}
    done = run(SPEC, request | {"upscale": 2}, tmp_path)
    image = Image.open(done.artifacts[0].path)
    assert (image.mode, image.size) == ("RGBA", (128, 128))
    red, green, blue, alpha = np.moveaxis(np.asarray(image).astype(int), -1, 0)
    assert alpha[:8].max() == alpha[:, :8].max() == 0
    solid = alpha > 200
    assert 0.05 < solid.mean() < 0.6
    assert np.median(red[solid]) > 150 and max(np.median(green[solid]), np.median(blue[solid])) < 90
    assert metadata_of_picture(done.artifacts[0].path.read_bytes()).prompt == CIRCLE


def test_a_person_before_a_scene_is_cut_out_by_depth(tmp_path: Path) -> None:
    words = "a woman with pale skin and red hair in a blue shirt at the beach"
    request = {"prompt": words, "seed": 3, "background": "transparent"}
    image = Image.open(run(SPEC, request, tmp_path).artifacts[0].path)
    alpha = np.asarray(image)[..., 3]
    assert alpha[30:40, 28:36].min() > 200 and alpha[:, :4].max() < 50


@pytest.mark.parametrize("kind", ["edges", "depth"])
def test_a_picture_is_drawn_along_a_map(kind: str, tmp_path: Path) -> None:
    """The prompt says nothing of place and size, and another colour than the picture's."""
    right = []
    for number, position in enumerate(("left", "right", "top", "bottom")):
        shape = Shape("circle", "blue", "yellow", position, "small")
        photo = Image.fromarray(draw_shape(shape, random.Random(number)))
        shown = saved(photo.resize((200, 200)), tmp_path / f"{position}.png")
        control = {"image": shown, "kind": kind, "made": "from_picture"}
        request = {"prompt": "a red circle on a white background", "control": control}
        seen = read_shape(pixels(run(SPEC, request, tmp_path / position)))
        right.append((seen.get("position"), seen.get("color")) == (position, "red"))
    assert sum(right) >= 3


def test_maps_that_the_model_does_not_follow_are_refused(tmp_path: Path) -> None:
    control = {"image": example(SPEC, "extend")["init_image"], "kind": "pose"}
    with pytest.raises(BadInput, match="along edges, depth") as refused:
        run(SPEC, {"prompt": "x", "control": control}, tmp_path)
    assert refused.value.code == "control_not_supported"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another scheduler": ({"scheduler": "flow_euler"}, "scheduler_not_supported"),
    "another size": ({"width": 512, "height": 512}, "size_not_supported"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_the_weights_cannot_do_is_refused_in_words(fault: str, tmp_path: Path) -> None:
    more, code = REFUSED[fault]
    with pytest.raises(BadInput) as refused:
        run(SPEC, {"prompt": CIRCLE, **more}, tmp_path)
    assert refused.value.code == code
    assert not refused.value.detail[0].islower() and refused.value.detail.endswith(".")


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    black = saved(Image.new("L", (64, 64)), tmp_path / "black.png")
    with pytest.raises(BadInput, match="empty"):
        run(SPEC, example(SPEC, "repaint") | {"mask": black}, tmp_path / "run")


PHOTO = {"url": "https://example.com/a.png"}


@pytest.mark.parametrize(
    "apart",
    [{"mask": PHOTO}, {"strength": 0.5}, {"extend": {"left": 8}},
     {"init_image": PHOTO, "mask": PHOTO, "extend": {"left": 8}},
     {"init_image": PHOTO, "control": {"image": PHOTO}},
     {"control": {"image": PHOTO, "kind": "pose", "made": "from_picture"}},
     {"background": "transparent", "format": "jpeg"},
     {"loras": [{"name": "noir"}, {"name": "noir"}]},
     {"init_image": PHOTO, "mask": PHOTO, "width": 64}, {"init_image": PHOTO, "extend": {}}],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_by_the_schema(apart: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match=r"needs|go together|size of|Say on|give the|no transp|twice"
    ):
        ImageRequest.model_validate({"prompt": CIRCLE, **apart})


def test_more_work_is_never_cheaper() -> None:
    def quote(**more: Any) -> int:
        return SPEC.quote(ImageRequest.model_validate({"prompt": CIRCLE, **more}))

    assert quote() < quote(n=2) < quote(n=8)
    assert quote() <= quote(steps=30) < quote(steps=31) < quote(steps=100)
    assert quote() < quote(width=1024) < quote(width=1024, height=1024)
    assert quote() < quote(upscale=2) < quote(upscale=4)
    assert quote() < quote(init_image=PHOTO, extend={"left": 8})


@pytest.mark.parametrize("name", ["text", "repaint", "extend"])
def test_pictures_that_a_safety_checker_blanked_are_neither_delivered_nor_charged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(SPEC)  # it draws a picture to warm up, too
    left = iter([True])

    def flag_one(self: Any, images: Any, *_: Any) -> Any:
        return images, [next(left, False)]

    for kind in (StableDiffusionPipeline, StableDiffusionInpaintPipeline):
        monkeypatch.setattr(kind, "run_safety_checker", flag_one)
    asked = {"prompt": CIRCLE} if name == "text" else example(SPEC, name)
    done = run(SPEC, asked | {"n": 2, "steps": 2}, tmp_path)
    (blocked,) = done.notes["blocked"]
    assert [one.path.name for one in done.artifacts] == [f"image-{1 - blocked}.png"]
    assert done.charged_share == 0.5


def test_a_job_whose_only_picture_was_blanked_fails_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        StableDiffusionPipeline, "run_safety_checker", lambda self, images, *_: (images, [True])
    )
    with pytest.raises(BadInput) as failed:
        run(SPEC, {"prompt": CIRCLE, "steps": 2}, tmp_path)
    assert failed.value.code == "content_blocked"
