"""What every generator of the service must do with the input it ships as its example.

A new one is tried untouched: it needs ``example/input.json`` beside its ``spec.py``.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest

from deployments.contract import Artifact, GeneratorSpec
from models.media.probe import probe
from scripts import gallery
from tests.contract.test_generator_specs import CATALOG
from tests.support.browser import find_chromium, played
from tests.support.images_alike import assert_as_in_the_gallery, assert_same_but_for_rounding
from tests.support.running_generators import (
    STOPS_WITHIN_S,
    Run,
    at_stage,
    example,
    examples,
    quick_example,
    run,
)

MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "video/webm": b"\x1aE\xdf\xa3",
    "model/gltf-binary": b"glTF",
}


@pytest.fixture(scope="module", params=list(CATALOG.values()), ids=list(CATALOG))
def spec(request: pytest.FixtureRequest) -> GeneratorSpec[Any]:
    found: GeneratorSpec[Any] = request.param
    return found


def every_example() -> list[Any]:
    return [
        pytest.param(spec, name, id=f"{spec.name}-{name}")
        for spec in CATALOG.values()
        for name in examples(spec)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[GeneratorSpec[Any], str], Run]:
    """An example, run once by itself: the name of its file in ``example/``."""

    @cache
    def make(spec: GeneratorSpec[Any], name: str) -> Run:
        return run(spec, example(spec, name), tmp_path_factory.mktemp(spec.name))

    return make


@pytest.mark.parametrize(("made_by", "name"), every_example())
def test_every_example_makes_files_that_are_what_they_say(
    made_by: GeneratorSpec[Any], name: str, made: Callable[[GeneratorSpec[Any], str], Run]
) -> None:
    done = made(made_by, name)
    assert done.artifacts
    for artifact in done.artifacts:
        check_file(artifact)
    files = [artifact.path for artifact in done.artifacts]
    for shown, pattern in gallery_pictures(made_by, name):
        assert_as_in_the_gallery(shown, gallery.render_outputs(files, pattern))


def gallery_pictures(spec: GeneratorSpec[Any], name: str) -> Iterator[tuple[str, str]]:
    """What docs/gallery.md shows of the example, and of which of its files."""
    shipped = f"{spec.name}/example/{name}.json"
    for item in gallery.read_items(gallery.PAGE.read_text(encoding="utf-8")):
        if item.words[0].endswith(shipped):
            yield from item.pictures


def test_every_line_of_the_gallery_but_the_first_is_an_example() -> None:
    _, *others = gallery.read_items(gallery.PAGE.read_text(encoding="utf-8"))
    shown = {name for item in others for name, _ in item.pictures}
    compared = {
        shown_name
        for spec in CATALOG.values()
        for name in examples(spec)
        for shown_name, _ in gallery_pictures(spec, name)
    }
    assert shown == compared != set()


@pytest.fixture(scope="module")
def alone(spec: GeneratorSpec[Any], made: Callable[[GeneratorSpec[Any], str], Run]) -> Run:
    """The example, run by itself."""
    return made(spec, "input")


@pytest.fixture(scope="module")
def quick(spec: GeneratorSpec[Any]) -> dict[str, Any]:
    return quick_example(spec)


@pytest.fixture(scope="module")
def quickly_alone(
    spec: GeneratorSpec[Any],
    quick: dict[str, Any],
    made: Callable[[GeneratorSpec[Any], str], Run],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The quick example, run by itself."""
    if quick == example(spec):
        return made(spec, "input")
    return run(spec, quick, tmp_path_factory.mktemp(spec.name))


def check_file(artifact: Artifact) -> None:
    content = artifact.path.read_bytes()
    assert content.startswith(MAGIC.get(artifact.content_type, b"")), artifact
    assert content
    if artifact.content_type.startswith("video/"):
        found = probe(artifact.path)
        assert (found.width, found.height) == (artifact.width, artifact.height)
        assert artifact.duration_s == pytest.approx(found.duration, abs=0.1)
    if artifact.content_type == "video/mp4":
        assert found.video_codec == "h264"
        assert found.audio_codec in (None, "aac")
        assert content.index(b"moov") < content.index(b"mdat"), "it starts before it is all there"
        with av.open(artifact.path) as film:
            assert film.streams.video[0].pix_fmt == "yuv420p"


def test_its_films_play_in_a_browser_to_their_end(alone: Run, tmp_path: Path) -> None:
    films = [made for made in alone.artifacts if made.content_type.startswith("video/")]
    if not films:
        pytest.skip("it makes no films")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed")
    told = played(chromium, [film.path for film in films], tmp_path)
    for film, seen in zip(films, told, strict=True):
        assert seen["ended"], seen
        assert seen["at"] == pytest.approx(film.duration_s, abs=0.1)
        assert (seen["width"], seen["height"]) == (film.width, film.height)


def test_it_says_what_it_used(alone: Run) -> None:
    assert {"model", "seed", "memory_plan"} <= alone.notes.keys()


def test_its_progress_never_goes_back_and_reaches_the_end(alone: Run) -> None:
    fractions = [fraction for fraction, _ in alone.told]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < 0.5
    assert 0.8 <= fractions[-1] <= 1
    assert all(stage for _, stage in alone.told)


def test_the_same_seed_gives_the_same_files_also_beside_another(
    spec: GeneratorSpec[Any], quick: dict[str, Any], quickly_alone: Run, tmp_path: Path
) -> None:
    if spec.concurrency == 1:  # a replica runs one at a time
        assert_same_but_for_rounding(run(spec, quick, tmp_path), quickly_alone)
        return
    other = quick | {"seed": 4242}
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(run, spec, other, tmp_path / "other")
        assert_same_but_for_rounding(run(spec, quick, tmp_path / "quick"), quickly_alone)
        made = [artifact.path.read_bytes() for artifact in beside.result().artifacts]
    assert made != [artifact.path.read_bytes() for artifact in quickly_alone.artifacts]


def test_a_cancel_ends_it_soon_at_any_stage_and_leaves_no_thread(
    spec: GeneratorSpec[Any], quick: dict[str, Any], quickly_alone: Run, tmp_path: Path
) -> None:
    before = threading.active_count()
    for number, stage in enumerate(quickly_alone.stages):
        ended = run(spec, quick, tmp_path / str(number), at_stage(stage))
        if ended.to_stop is None:
            continue  # it was over with the word that began the stage
        assert ended.artifacts == [], stage
        assert ended.to_stop < STOPS_WITHIN_S, stage
        assert threading.active_count() <= before + 1, stage
        assert not list((tmp_path / str(number) / "work").glob(".*")), "no half film"
