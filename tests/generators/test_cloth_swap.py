"""The cloth swap generator at work: what it changes, what it leaves, and whom it refuses."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from benchmarks.cloth_swap import cases, dressed, figures
from deployments.contract import BadInput
from deployments.generators.cloth_swap.spec import SPEC
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person, draw_scene, draw_shape
from models.tiny.world import PARTS, Person, Shape
from tests.support.running_generators import Run, as_data, example, loaded, run

Picture = np.ndarray[Any, Any]
ANN = draw_person(
    Person("woman", "blond", "tan", "blue", "plain", "shirt", "park"), random.Random(3)
)
GIVER = draw_person(
    Person("man", "black", "pale", "red", "striped", "shirt", "room"), random.Random(4)
)


def on_file(picture: Any, folder: Path, name: str) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
    image.save(folder / name)
    return as_data(folder / name)


def given(folder: Path, person: Any = None, garment: Any = None, **fields: Any) -> dict[str, Any]:
    """Ann and a red striped shirt that lies flat, unless other pictures are named."""
    person = ANN.picture if person is None else person
    shown = {"image": on_file(GIVER.garment if garment is None else garment, folder, "shirt.png")}
    for name in ("category", "kind", "description"):
        if name in fields:
            shown[name] = fields.pop(name)
    return {
        "person_image": on_file(person, folder, "ann.png"),
        "garments": [shown],
        "seed": 5,
        **fields,
    }


def picture(done: Run, kind: str) -> Picture:
    [path] = [made.path for made in done.artifacts if made.kind == kind]
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_garment_picture_decides_and_all_else_stays() -> None:
    generator = loaded(SPEC)
    for way in ("flat", "worn"):
        made = [
            dressed(generator, case, way, number) for number, case in enumerate(cases(12, 5, way))
        ]
        found = figures(made)
        assert found["color"] >= 0.9, way
        assert found["pattern"] >= 0.8, way
        assert found["same_person"] == found["outside"] == 1.0, way
        assert found["refused"] == 0.0, way


def test_hair_face_and_hands_stay_pixel_for_pixel(tmp_path: Path) -> None:
    result = picture(run(SPEC, given(tmp_path), tmp_path / "run"), "image")
    # Where they really are, whatever the parser says; its edges are a pixel off at times.
    for part in ("hair", "face", "arms", "pants", "shoes"):
        where = ANN.parts == PARTS.index(part)
        assert (result == ANN.picture)[where].all(axis=-1).mean() > 0.9, part
    face = ANN.parts == PARTS.index("face")
    assert (result == ANN.picture)[face].all()
    assert read_person(result)["color"] == "red"


def test_a_turned_photo_as_phones_make_them_keeps_its_size(tmp_path: Path) -> None:
    large = Image.fromarray(ANN.picture).resize((900, 900), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for looking at
    folder = tmp_path / "in"
    folder.mkdir()
    stored = large.rotate(90, expand=True)
    stored.save(folder / "ann.jpg", exif=exif, quality=95)
    fields = given(tmp_path) | {"person_image": as_data(folder / "ann.jpg")}
    done = run(SPEC, fields, tmp_path / "run")
    result, mask = picture(done, "image"), picture(done, "mask")
    assert result.shape == (900, 900, 3)
    seen = np.asarray(Image.open(folder / "ann.jpg").convert("RGB").rotate(-90, expand=True))
    assert (result == seen)[mask[..., 0] == 0].all()
    small = np.asarray(Image.fromarray(result).resize((64, 64), Image.Resampling.BOX))
    assert read_person(small)["color"] == "red"


def test_a_mask_of_ones_own_is_what_is_painted(tmp_path: Path) -> None:
    own = np.zeros((128, 128), np.uint8)  # of another size than the photo
    own[52:76, 54:76] = 255
    fields = given(tmp_path, mask=on_file(own, tmp_path, "mask.png"))
    done = run(SPEC, fields, tmp_path / "run")
    result = picture(done, "image")
    inside = np.zeros((64, 64), bool)
    inside[26:38, 27:38] = True
    assert (result == ANN.picture)[~inside].all()
    assert (result != ANN.picture)[inside].any()
    assert (picture(done, "mask")[..., 0] == 255 * inside).all()


def test_two_garments_in_one_job(tmp_path: Path) -> None:
    fields = given(tmp_path, category="upper")
    fields["garments"].append(
        {"image": on_file(GIVER.picture, tmp_path, "giver.png"), "category": "lower"}
    )
    done = run(SPEC, fields, tmp_path / "run")
    assert done.notes["garments"] == [
        {"category": "upper", "kind": "flat"}, {"category": "lower", "kind": "worn"},
    ]  # fmt: skip
    mask = picture(done, "mask")[..., 0] > 0
    for part in ("upper", "pants"):
        assert mask[ANN.parts == PARTS.index(part)].mean() > 0.85, part
    assert read_person(picture(done, "image"))["color"] == "red"


def test_several_pictures_differ_and_stand_beside_the_photo(tmp_path: Path) -> None:
    done = run(SPEC, given(tmp_path, n=3), tmp_path / "run")
    names = [made.path.name for made in done.artifacts]
    assert names == ["result-0.png", "result-1.png", "result-2.png", "mask.png", "before-after.png"]
    first, second, third = (done.made[name] for name in names[:3])
    assert len({first, second, third}) == 3
    assert done.artifacts[-1].width > 4 * 64


def test_arms_are_painted_too_where_they_need_not_be_kept(tmp_path: Path) -> None:
    kept = picture(run(SPEC, given(tmp_path), tmp_path / "a"), "mask")
    free = picture(run(SPEC, given(tmp_path, keep_face_and_hands=False), tmp_path / "b"), "mask")
    assert ((free > 0) & (kept == 0)).any()
    assert not ((kept > 0) & (free == 0)).any()


def two_people() -> Picture:
    return np.concatenate([ANN.picture, GIVER.picture], axis=1)


def a_square() -> Picture:
    return draw_shape(Shape("square", "blue", "white"), random.Random(2))


def a_beach() -> Picture:
    return draw_scene("beach", random.Random(2))[0]


def far_away() -> Picture:
    photo = np.asarray(Image.fromarray(a_beach()).resize((512, 512))).copy()
    photo[350:430, 200:280] = np.where(
        np.kron(ANN.parts, np.ones((2, 2), np.uint8))[24:104, 24:104, None] > 0,
        np.asarray(Image.fromarray(ANN.picture).resize((128, 128)))[24:104, 24:104],
        photo[350:430, 200:280],
    )
    return photo


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (a_square, "no_person"),
        (a_beach, "no_person"),
        (two_people, "several_people"),
        (lambda: ANN.picture[:40, :40], "too_small"),
    ],
)
def test_photos_that_cannot_be_dressed_are_refused_with_the_reason(
    photo: Callable[[], Picture], code: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as refused:
        run(SPEC, given(tmp_path, person=photo()), tmp_path / "run")
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("garment", "fields", "code"),
    [
        (lambda: np.full((64, 64, 3), 225, np.uint8), {"kind": "flat"}, "garment_not_found"),
        (lambda: np.zeros((64, 64, 4), np.uint8), {"kind": "flat"}, "garment_not_found"),
        (two_people, {"kind": "worn"}, "several_people"),
        (a_beach, {"kind": "worn"}, "no_person"),
    ],
)
def test_garments_that_cannot_be_taken_are_refused_with_the_reason(
    garment: Callable[[], Picture], fields: dict[str, Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as refused:
        run(SPEC, given(tmp_path, garment=garment(), **fields), tmp_path / "run")
    assert refused.value.code == code


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    black = on_file(np.zeros((64, 64), np.uint8), tmp_path, "mask.png")
    with pytest.raises(BadInput) as refused:
        run(SPEC, given(tmp_path, mask=black), tmp_path / "run")
    assert refused.value.code == "mask_empty"


def test_what_a_garment_picture_shows_is_told_apart(tmp_path: Path) -> None:
    for number, (garment, kind) in enumerate(
        [(GIVER.garment, "flat"), (GIVER.picture, "worn"), (transparent(), "flat")]
    ):
        folder = tmp_path / str(number)
        done = run(SPEC, given(folder, garment=garment), folder / "run")
        assert done.notes["garments"] == [{"category": "upper", "kind": kind}]
        assert read_person(picture(done, "image"))["color"] == "red", number


def transparent() -> Image.Image:
    """The shirt cut out, as shops have them; what is under the transparent part is no matter."""
    away = np.abs(GIVER.garment.astype(int) - GIVER.garment[0, 0]).max(axis=-1) > 10
    alpha = (away * 255).astype(np.uint8)[..., None]
    return Image.open(io.BytesIO(png(np.concatenate([GIVER.garment, alpha], axis=-1))))


def png(pixels: Picture) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_picture_that_a_safety_checker_blanked_is_neither_delivered_nor_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([True])
    monkeypatch.setattr(
        StableDiffusionInpaintPipeline,
        "run_safety_checker",
        lambda self, images, *_: (images, [next(left, False)]),
    )
    done = run(SPEC, example(SPEC) | {"n": 2, "steps": 2}, tmp_path)
    assert [one.path.name for one in done.artifacts] == [
        "result-1.png", "mask.png", "before-after.png",
    ]  # fmt: skip
    assert done.notes["blocked"] == [0]
    assert done.charged_share == 0.5
