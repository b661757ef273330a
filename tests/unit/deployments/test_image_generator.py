"""The image generator redraws, repaints, continues and enlarges, and refuses what does not go."""

import base64
import io
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import ValidationError

from deployments.contract import BadInput
from deployments.image.spec import SPEC, ImageRequest, Scheduler
from models.diffusion import schedulers
from models.media.picture_out import read_picture_metadata
from models.tiny.checker import read_person, read_shape
from tests.support.atwork import Run, as_data, example, run

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


def test_the_repainted_shirt_has_the_colour_that_was_asked_for(tmp_path: Path) -> None:
    done = run(SPEC, example(SPEC, "repaint"), tmp_path)
    assert read_person(pixels(done, 1))["color"] == "yellow"


def test_a_transparent_part_is_a_mask_too(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), "white")
    clear.paste((0, 0, 0, 0), (18, 22, 47, 45))
    request = example(SPEC, "repaint") | {"mask": saved(clear, tmp_path / "clear.png"), "n": 1}
    as_white = run(SPEC, example(SPEC, "repaint") | {"n": 1}, tmp_path / "white")
    assert run(SPEC, request, tmp_path / "clear").made == as_white.made


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
    second = read_picture_metadata(done.artifacts[1].path.read_bytes())
    assert (second.prompt, second.seed, second.model) == (f"{CIRCLE} 雨", 10, "atelier-tiny")


def test_edges_without_a_control_model_are_refused(tmp_path: Path) -> None:
    request = {"prompt": "x", "control": {"image": example(SPEC, "extend")["init_image"]}}
    with pytest.raises(BadInput) as refused:
        run(SPEC, request, tmp_path)
    assert refused.value.code == "capability_missing"


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
     {"init_image": PHOTO, "mask": PHOTO, "width": 64}, {"init_image": PHOTO, "extend": {}}],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_by_the_schema(apart: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"needs|go together|size of|Say on"):
        ImageRequest.model_validate({"prompt": CIRCLE, **apart})


def test_more_work_is_never_cheaper() -> None:
    def quote(**more: Any) -> int:
        return SPEC.quote(ImageRequest.model_validate({"prompt": CIRCLE, **more}))

    assert quote() < quote(n=2) < quote(n=8)
    assert quote() <= quote(steps=30) < quote(steps=31) < quote(steps=100)
    assert quote() < quote(width=1024) < quote(width=1024, height=1024)
    assert quote() < quote(upscale=2) < quote(upscale=4)
    assert quote() < quote(init_image=PHOTO, extend={"left": 8})
