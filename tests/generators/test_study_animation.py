"""The lesson generator at work: small films, probed and looked into."""

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from deployments.contract import BadInput, Stopped
from deployments.generators.scene_film.clips import clip_file_name
from deployments.generators.study_animation.generator import StudyAnimationGenerator
from deployments.worker.context import StopReason
from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film
from models.media.probe import probe, read_frames
from models.media.sound import read_sound
from models.schemas.lesson import Lesson
from tests.support.lessons import JOB, SCENES, Made, lesson, make
from tests.support.readers import cues_of_film, cues_of_srt, cues_of_vtt
from tests.support.running_generators import Watched


@pytest.fixture(scope="module")
def generator() -> StudyAnimationGenerator:
    return StudyAnimationGenerator()


@pytest.fixture(scope="module")
def leaves(generator: StudyAnimationGenerator, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(generator, tmp_path_factory.mktemp("leaves"), lesson())


def test_the_film_holds_all_its_scenes_with_sound_and_text_in_step(leaves: Made) -> None:
    found = probe(leaves.film)
    scenes = leaves.scenes
    assert (found.width, found.height, found.fps) == (640, 360, 8)
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")
    assert found.duration == pytest.approx(scenes[-1][1], abs=1 / 8)
    assert found.audio_duration == pytest.approx(found.duration, abs=0.1)
    assert [c.title for c in found.chapters] == ["Leaves", "They need", "What colour?"]
    assert [c.start for c in found.chapters] == pytest.approx([s for s, _ in scenes], abs=0.01)
    cues = cues_of_film(leaves.film)
    for beside in (
        cues_of_srt(leaves.files["lesson.srt"].read_text()),
        cues_of_vtt(leaves.files["lesson.vtt"].read_text()),
    ):
        assert [cue.text for cue in beside] == [cue.text for cue in cues]
        assert [cue.start for cue in beside] == pytest.approx(
            [cue.start for cue in cues], abs=0.002
        )
    voice = read_sound(leaves.film)
    loud = np.abs(voice.samples).reshape(-1)
    for (start, end), said in zip(scenes, SCENES, strict=True):
        inside = [cue for cue in cues if start <= cue.start < end]
        assert all(cue.end <= end for cue in inside)
        spoken = " ".join(" ".join(cue.text for cue in inside).split())
        assert spoken.startswith(str(said["narration"]))
        heard = loud[round(inside[0].start * 48_000) : round(inside[0].end * 48_000)]
        assert heard.mean() > 0.02
        before = loud[round(start * 48_000) + 4800 : round((start + 0.3) * 48_000)]
        assert before.max() < 0.01, "the voice waits for its scene"


def test_the_answer_comes_after_the_pause(leaves: Made) -> None:
    start, _ = leaves.scenes[2]
    asked, answered = [c for c in cues_of_film(leaves.film) if c.start >= start]
    assert answered.text == "Green"
    assert answered.start - asked.end >= 0.9
    frames = list(read_frames(leaves.film))

    def green(t: float) -> int:
        pixels = frames[round(t * 8)].astype(int)
        return int(((pixels[..., 1] > pixels[..., 0] + 60) & (pixels[..., 1] > 110)).sum())

    assert green(answered.start - 0.6) < 50 < green(answered.end)


def test_the_script_comes_back_and_makes_the_same_film(
    generator: StudyAnimationGenerator, leaves: Made, tmp_path: Path
) -> None:
    script = json.loads(leaves.files["script.json"].read_text())
    assert Lesson.model_validate(script).title == "Leaves"
    again = make(generator, tmp_path, {"lesson": script})
    assert {n: again.hash(n) for n in again.files} == {n: leaves.hash(n) for n in leaves.files}


def test_one_scene_is_made_anew_and_the_others_stay_as_they_are(
    generator: StudyAnimationGenerator, leaves: Made, tmp_path: Path
) -> None:
    changed = [*SCENES]
    changed[1] = SCENES[1] | {"bullets": ["Water", "Light", "Air"], "narration": "Air as well."}
    given = lesson(*changed) | {"earlier": JOB, "scenes": [2]}
    again = make(generator, tmp_path / "a", given, earlier=leaves)
    assert [again.hash(clip_file_name(n)) == leaves.hash(clip_file_name(n)) for n in (1, 2, 3)] == [
        True,
        False,
        True,
    ]
    assert again.notes["scenes_taken_over"] == [1, 3]
    assert "Air as well." in again.files["lesson.srt"].read_text()
    assert probe(again.film).frames == sum(
        probe(again.files[clip_file_name(n)]).frames for n in (1, 2, 3)
    )
    # and the film that was made so can be changed in its turn, with nothing but the scene's number
    third = make(
        generator, tmp_path / "b", {"earlier": JOB, "scenes": [1], "theme": "dark"}, earlier=again
    )
    assert third.hash(clip_file_name(2)) == again.hash(clip_file_name(2))
    assert next(read_frames(third.files[clip_file_name(1)])).mean() < 100


def test_a_change_that_does_not_fit_the_earlier_film_is_refused(
    generator: StudyAnimationGenerator, leaves: Made, tmp_path: Path
) -> None:
    changed = lesson(SCENES[0] | {"title": "Trees"}, *SCENES[1:])
    refusals = {
        "scene 1 differs": changed | {"earlier": JOB, "scenes": [2]},
        "there is no scene 9": {"earlier": JOB, "scenes": [9]},
        "has 3 scenes|earlier film 3": lesson(SCENES[0]) | {"earlier": JOB, "scenes": [1]},
        "resolution": {"earlier": JOB, "scenes": [1], "resolution": "480p"},
    }
    for number, (reason, given) in enumerate(refusals.items()):
        with pytest.raises(BadInput, match=reason):
            make(generator, tmp_path / str(number), given, earlier=leaves)


def test_a_later_attempt_draws_only_what_the_lost_one_did_not(
    generator: StudyAnimationGenerator, leaves: Made, tmp_path: Path
) -> None:
    assert sorted(leaves.kept) == [clip_file_name(n) for n in (1, 2, 3)]
    half = {name: leaves.kept[name] for name in (clip_file_name(1), clip_file_name(3))}
    half["scene-02.mp4"] = tmp_path / "cut.mp4"
    half["scene-02.mp4"].write_bytes(leaves.kept["scene-02.mp4"].read_bytes()[:500])
    again = make(generator, tmp_path, lesson(), kept=half)
    assert again.notes["scenes_taken_over"] == [1, 3]
    assert again.hash("lesson.mp4") == leaves.hash("lesson.mp4")
    assert sorted(again.kept) == ["scene-02.mp4"], "what was drawn anew is kept for the next one"


def test_clips_of_another_encoder_are_all_made_anew(
    generator: StudyAnimationGenerator, leaves: Made, tmp_path: Path
) -> None:
    old = tmp_path / clip_file_name(2)
    with open_film(old, FilmSpec(8, FilmLabel("old", "old"), crf=45)) as film:
        for frame in read_frames(leaves.kept[clip_file_name(2)]):
            film.write(frame)
    again = make(generator, tmp_path, lesson(), kept=leaves.kept | {clip_file_name(2): old})
    assert again.hash("lesson.mp4") == leaves.hash("lesson.mp4")


def test_a_lesson_without_end_is_refused_before_all_of_it_is_spoken(
    generator: StudyAnimationGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = {"type": "title", "title": "On", "narration": "and so on, " * 27}
    monkeypatch.setattr(f"{StudyAnimationGenerator.__module__}.LONGEST_FILM_SECONDS", 10)
    with pytest.raises(BadInput, match="two lessons") as refused:
        make(generator, tmp_path, lesson(*[scene] * 20))
    assert refused.value.code == "too_long"


@pytest.mark.parametrize("stage", ["laying out", "narrating", "drawing", "joining"])
def test_a_cancel_ends_it_at_once(
    generator: StudyAnimationGenerator, tmp_path: Path, stage: str
) -> None:
    def cancel(context: Watched) -> None:
        if context.told[-1][1] == stage:
            context.cancel()

    began = time.monotonic()
    with pytest.raises(Stopped, match=StopReason.CANCELED.value):
        make(generator, tmp_path, lesson(), cancel)
    assert time.monotonic() - began < 240
    assert not list((tmp_path / "work").glob("lesson*"))
    assert not list((tmp_path / "work").glob(".*")), "no half written file"


def picture(colour: str, size: tuple[int, int] = (64, 48)) -> dict[str, str]:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return {"data": f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"}


def test_a_given_picture_is_shown(generator: StudyAnimationGenerator, tmp_path: Path) -> None:
    given = lesson({"type": "picture", "image": "leaf", "min_seconds": 2})
    made = make(
        generator, tmp_path, given | {"pictures": [{"name": "leaf", "image": picture("red")}]}
    )
    red, green, blue = list(read_frames(made.film))[-1][150:200, 300:340].mean(axis=(0, 1))
    assert red > 200 and green < 60 and blue < 60
    with pytest.raises(ValidationError, match="scene 1: there is no picture 'leaf'"):
        make(generator, tmp_path / "missing", given)


@pytest.mark.parametrize(
    ("aspect", "size"), [("9:16", (360, 640)), ("1:1", (360, 360)), ("16:9", (640, 360))]
)
def test_subtitles_are_burned_below_the_scene_in_every_shape(
    generator: StudyAnimationGenerator, tmp_path: Path, aspect: str, size: tuple[int, int]
) -> None:
    given = lesson(*SCENES[:1]) | {"aspect": aspect, "burn_subtitles": True, "theme": "dark"}
    made = make(generator, tmp_path, given)
    found = probe(made.film)
    assert (found.width, found.height) == size
    [cue] = cues_of_film(made.film)
    frames = list(read_frames(made.film))
    spoken = frames[round((cue.start + cue.end) * 4)][-34:].astype(int)
    silent = frames[0][-34:].astype(int)
    assert (np.abs(spoken - silent) > 90).any(axis=2).sum() > 100
    assert silent.std() < 25
