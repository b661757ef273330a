"""What every generator must stand: texts and pictures that break programs."""

import base64
import copy
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from deployments.contract import BadInput, GeneratorSpec
from tests.contract.test_generator_specs import CATALOG
from tests.support.hostile import REFUSED, TEXTS, encoded
from tests.support.running_generators import example, examples, quick_example, run

TELLTALE = b"root:x:0:"  # how /etc/passwd begins

# Together, because a film takes seconds; the words of people are never refused.
GROUPS = {
    "languages": "\n".join(TEXTS[name] for name in ("right to left", "cjk", "emoji")),
    "injection": "\n".join(TEXTS[name] for name in ("typst", "paths", "shell")),
    "characters": "\n".join(TEXTS[name] for name in ("marks", "control")),
}


@pytest.fixture(params=list(CATALOG.values()), ids=list(CATALOG))
def spec(request: pytest.FixtureRequest) -> GeneratorSpec[Any]:
    found: GeneratorSpec[Any] = request.param
    return found


def with_media() -> list[Any]:
    return [
        pytest.param(spec, name, id=f"{spec.name}-{name}")
        for spec in CATALOG.values()
        for name in examples(spec)
        if any(media_in(example(spec, name)))
    ]


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where texts stand in an input: their holder, and their key or index in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, str):
            yield value, key
        elif isinstance(item, dict | list):
            yield from leaves(item)


def media_in(value: Any) -> Iterator[tuple[Any, Any]]:
    for holder, key in leaves(value):
        if key == "data":
            yield holder, key


def takes(spec: GeneratorSpec[Any], given: dict[str, Any]) -> bool:
    try:
        spec.request.model_validate(given)
    except ValidationError:
        return False
    return True


def filled(spec: GeneratorSpec[Any], text: str) -> dict[str, Any]:
    """The example with ``text`` wherever anybody may write what they like."""
    given = copy.deepcopy(quick_example(spec))
    for holder, key in list(leaves(given)):
        before = holder[key]
        for shorter in (text, text[:100], text.replace("\n", " ")[:60]):
            holder[key] = shorter
            if takes(spec, given):
                break
            holder[key] = before
    return given


@pytest.mark.parametrize("group", GROUPS)
def test_any_text_is_drawn_or_refused_in_words(
    spec: GeneratorSpec[Any], group: str, tmp_path: Path
) -> None:
    given = filled(spec, GROUPS[group])
    if given == quick_example(spec):
        pytest.skip("it takes no text in its example")
    try:
        done = run(spec, given, tmp_path)
    except BadInput as refused:
        assert group != "languages", refused.detail
        assert refused.detail and str(tmp_path) not in refused.detail
    else:
        assert done.artifacts
        for artifact in done.artifacts:
            assert TELLTALE not in artifact.path.read_bytes(), artifact.path.name


def test_no_text_may_be_a_megabyte_long(spec: GeneratorSpec[Any]) -> None:
    given = example(spec)
    for holder, key in leaves(given):
        before = holder[key]
        if key != "data":
            holder[key] = "x" * 1_000_000
            assert not takes(spec, given), key
        holder[key] = before


@pytest.mark.parametrize("fault", REFUSED)
def test_a_broken_picture_is_refused_soon_and_leaks_no_path(fault: str, tmp_path: Path) -> None:
    content = base64.b64encode(REFUSED[fault]()).decode()
    for parameter in with_media():
        spec, name = parameter.values
        given = example(spec, name)
        for number, (holder, key) in enumerate(list(media_in(given))):
            whole = holder[key]
            holder[key] = f"data:image/png;base64,{content}"
            began = time.monotonic()
            with pytest.raises(BadInput) as refused:
                run(spec, given, tmp_path / f"{parameter.id}-{number}")
            assert time.monotonic() - began < 300, parameter.id
            assert refused.value.code.startswith("unreadable_"), parameter.id
            assert str(tmp_path) not in refused.value.detail
            holder[key] = whole


@pytest.mark.parametrize(("made_by", "name"), with_media())
def test_a_picture_may_lie_on_its_side_and_be_made_for_print(
    made_by: GeneratorSpec[Any], name: str, tmp_path: Path
) -> None:
    given = example(made_by, name)
    for holder, key in media_in(given):
        holder[key] = turned_cmyk(holder[key])
    assert run(made_by, given, tmp_path).artifacts


def turned_cmyk(uri: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    lying = picture.transpose(Image.Transpose.ROTATE_90).convert("CMYK")
    content = encoded(lying, "JPEG", exif=exif, quality=95, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
