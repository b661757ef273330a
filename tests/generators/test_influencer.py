"""The influencer generator at work: one person in several scenes, compared, drawn again, filmed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from benchmarks.influencer import drawn, unseen
from deployments.contract import BadInput
from deployments.generators.influencer.clip import write_clip
from deployments.generators.influencer.generator import InfluencerGenerator
from deployments.generators.influencer.spec import SPEC, Clip
from models.media.probe import probe, read_frames
from models.speech.narrator import Narrator
from models.speech.speech import SpeechRequest
from models.tiny.checker import read_person
from models.tiny.drawing import draw_person, draw_shape
from models.tiny.world import Person, Shape
from models.vision.identity import IdentityScorer
from tests.support.readers import cues_of_film, metadata_of_picture
from tests.support.running_generators import Run, Watched, as_data, example, run

MIRA = Person("woman", "red", "pale", "green", "plain", "shirt", "room")


def on_file(picture: Any, folder: Path, name: str = "mira.png") -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(picture)).save(folder / name)
    return as_data(folder / name)


def of_mira(folder: Path, **fields: Any) -> dict[str, Any]:
    """An input about a person whose looks only the picture tells."""
    picture = on_file(draw_person(MIRA, random.Random(1)).picture, folder)
    person = {"reference_images": [picture], "consent": True, "description": "a woman"}
    given = {"person": person, "images": [{"scene": "beach"}], "seed": 5, "max_redraws": 0}
    return given | fields


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The example, run once."""
    return run(SPEC, example(SPEC), tmp_path_factory.mktemp("example"))


def test_hair_and_skin_stay_the_same_over_four_scenes() -> None:
    generator = InfluencerGenerator()
    pictures = [
        one
        for number, person in enumerate(unseen(5, seed=3))
        for one in drawn(generator, person, "pictures", seed=number)
    ]
    read = [read_person(np.asarray(one.picture)) for one in pictures]
    for look in ("hair", "skin", "scene"):
        wanted = [getattr(one if look == "scene" else one.person, look) for one in pictures]
        right = [one[look] == want for one, want in zip(read, wanted, strict=True)]
        assert np.mean(right) >= 0.8, look


def test_it_makes_each_picture_a_sheet_and_a_film(made: Run) -> None:
    names = [artifact.path.name for artifact in made.artifacts]
    pictures = [f"image-{number}.png" for number in range(4)]
    assert names == [*pictures, "sheet.png", "clip.mp4", "clip.vtt"]
    read = [read_person(np.asarray(Image.open(made.artifacts[i].path))) for i in range(3)]
    assert [one["scene"] for one in read] == ["beach", "park", "city"]
    assert [one["color"] for one in read] == ["blue", "green", "yellow"], "outfits as asked, else"
    assert {(one["hair"], one["skin"]) for one in read} == {("red", "pale")}
    assert made.artifacts[3].width == 51, "4:5 of a model that draws squares is cut"


def test_each_picture_carries_its_likeness(made: Run) -> None:
    notes = made.notes["images"]
    for note, artifact in zip(notes, made.artifacts, strict=False):
        assert note["name"] == artifact.path.name
        assert note["alike"] == (note["likeness"] >= made.notes["likeness_threshold"])
        assert 1 <= note["tries"] <= 3
        data = artifact.path.read_bytes()
        label = metadata_of_picture(data)
        assert (label.seed, label.prompt) == (note["seed"], note["prompt"])
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert float(picture.info["Likeness"]) == note["likeness"]
    assert metadata_of_picture(made.artifacts[4].path.read_bytes()).model == made.notes["model"]


def test_a_picture_can_be_drawn_again_from_its_note(made: Run, tmp_path: Path) -> None:
    note = made.notes["images"][1]
    given = example(SPEC)
    given = given | {"images": [given["images"][1]], "seed": note["seed"], "clip": None}
    again = run(SPEC, given | {"max_redraws": 0}, tmp_path)
    drawn, once_more = (
        np.asarray(Image.open(one.path)).astype(int)
        for one in (made.artifacts[1], again.artifacts[0])
    )
    assert np.abs(drawn - once_more).max() <= 1  # a last bit, since it was drawn beside others


def test_the_film_is_narrated_and_as_long_as_its_pictures(made: Run) -> None:
    path = made.artifacts[5].path
    film = probe(path)
    assert (film.video_codec, film.audio_codec) == ("h264", "aac")
    assert film.duration == pytest.approx(4 * 3.0, abs=0.1) == made.artifacts[5].duration_s
    assert film.audio_duration == pytest.approx(film.duration, abs=0.1)
    [cue] = cues_of_film(path)
    assert " ".join(cue.text.split()) == example(SPEC)["clip"]["narration"]
    assert "AI-generated" in film.metadata["comment"]
    frames = list(read_frames(path))
    scenes = []
    for number in range(3):  # before the camera has gone far, and after the pictures have changed
        frame = Image.fromarray(frames[number * 72 + 20])
        scenes.append(read_person(np.asarray(frame.resize((64, 64))))["scene"])
    assert scenes == ["beach", "park", "city"]
    moves = [np.abs(np.subtract(a, b, dtype=float)).mean() for a, b in pairwise(frames)]
    assert np.median(moves) > 0, "the camera moves"
    assert max(moves) < 10, "nothing jumps"


def test_a_long_narration_makes_a_longer_film(tmp_path: Path) -> None:
    clip = {"narration": "One two three four five six seven eight nine ten.", "subtitles": False}
    given = of_mira(tmp_path, clip=clip | {"seconds_per_image": 1, "aspect": "16:9"})
    done = run(SPEC, given, tmp_path / "run")
    assert [artifact.path.name for artifact in done.artifacts][2:] == ["clip.mp4"]
    film = probe(done.artifacts[2].path)
    assert 2 < film.duration < 6
    assert (film.width, film.height) == (640, 360)
    assert film.subtitle_codec is None


@pytest.mark.parametrize("redraws", [0, 1, 3])
def test_redraws_are_bounded_and_the_most_alike_is_kept_and_flagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redraws: int
) -> None:
    scores = iter([0.3, 0.6, 0.5, 0.2])
    seen: list[Image.Image] = []

    def compare(self: IdentityScorer, known: Any, picture: Image.Image) -> float:
        seen.append(picture)
        return next(scores)

    monkeypatch.setattr(IdentityScorer, "similarity", compare)
    given = of_mira(tmp_path, max_redraws=redraws, likeness_threshold=0.9, steps=1)
    done = run(SPEC, given, tmp_path / "run")
    [note] = done.notes["images"]
    assert len(seen) == note["tries"] == redraws + 1
    assert (note["likeness"], note["alike"]) == (0.6 if redraws else 0.3, False)
    best = np.asarray(seen[1 if redraws else 0])
    assert (np.asarray(Image.open(done.artifacts[0].path)) == best).all()


def test_of_several_references_the_odd_ones_are_left_out(tmp_path: Path) -> None:
    rng = random.Random(4)
    nobody = draw_shape(Shape("star", "red", "white"), rng)
    mira = draw_person(MIRA, rng).picture
    given = of_mira(tmp_path, steps=1)
    given["person"]["reference_images"] = [
        on_file(nobody, tmp_path, "star.png"),
        on_file(mira, tmp_path, "other.png"),
    ]
    notes = run(SPEC, given, tmp_path / "run").notes
    assert notes["reference"] == "person.reference_images.1"
    assert list(notes["references_left_out"]) == ["person.reference_images.0"]


def test_the_reference_most_like_the_others_is_drawn_from(tmp_path: Path) -> None:
    rng = random.Random(4)
    stranger = Person("man", "blond", "dark", "green", "plain", "shirt", "room")
    shown = [draw_person(person, rng).picture for person in (stranger, MIRA, MIRA)]
    given = of_mira(tmp_path, steps=1)
    given["person"]["reference_images"] = [
        on_file(picture, tmp_path, f"{number}.png") for number, picture in enumerate(shown)
    ]
    notes = run(SPEC, given, tmp_path / "run").notes
    assert notes["reference"] != "person.reference_images.0"


def two_people() -> Any:
    left, right = (draw_person(MIRA, random.Random(n)).picture for n in (1, 2))
    return np.concatenate([left, right], axis=1)


def shape() -> Any:
    return draw_shape(Shape("square", "blue", "white"), random.Random(2))


@pytest.mark.parametrize(
    ("picture", "code"), [(shape, "no_person"), (two_people, "several_people")]
)
def test_pictures_that_show_no_one_person_are_refused(
    tmp_path: Path, picture: Callable[[], Any], code: str
) -> None:
    given = of_mira(tmp_path)
    given["person"]["reference_images"] = [on_file(picture(), tmp_path)]
    with pytest.raises(BadInput, match=r"person\.reference_images\.0") as refused:
        run(SPEC, given, tmp_path / "run")
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("clip", "code"),
    [
        ({"narration": "..."}, "cannot_be_spoken"),
    ],
)
def test_what_cannot_be_spoken_is_refused_before_anything_is_drawn(
    tmp_path: Path, clip: dict[str, Any], code: str
) -> None:
    told: list[str] = []

    def watch(context: Watched) -> None:
        told.append(context.told[-1][1])

    with pytest.raises(BadInput, match="narration") as refused:
        run(SPEC, of_mira(tmp_path, clip=clip), tmp_path / "run", watch)
    assert refused.value.code == code
    assert "drawing" not in told


@pytest.mark.parametrize(
    ("language", "code"), [("sv", "swe"), ("de-AT", "deu"), ("yue", "yue"), ("he", "heb")]
)
def test_a_film_says_in_which_language_it_speaks(tmp_path: Path, language: str, code: str) -> None:
    clip = Clip(narration="Hej.", language=language, seconds_per_image=1, subtitles=True)
    speech = Narrator().speak(SpeechRequest("Hej.", language))
    path = tmp_path / "film.mp4"
    write_clip(path, clip, [Image.new("RGB", (64, 64))], speech, "tiny", lambda done: None)
    with av.open(str(path)) as film:
        tracks = (*film.streams.audio, *film.streams.subtitles)
        assert [track.language for track in tracks] == [code, code]
