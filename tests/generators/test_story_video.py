"""The story generator at work: a small film, probed, looked into and listened to."""

import base64
import io
import json
import random
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.contract import BadInput, Persona, Stopped
from deployments.generators.story_video.generator import StoryVideoGenerator
from deployments.worker.context import StopReason
from models.media.probe import probe, read_frames
from models.media.sound import read_sound
from models.tiny.drawing import draw_person
from models.tiny.world import Person
from tests.support.readers import cues_of_film, cues_of_srt, cues_of_vtt, metadata_of_picture
from tests.support.running_generators import Watched
from tests.support.stories import JOB, SCENES, Made, begun, board, make

PERSONA = "per_01J9ZQ7W8R4N2T5V6X8Y0ZABCD"


@pytest.fixture(scope="module")
def generator() -> StoryVideoGenerator:
    return StoryVideoGenerator()


@pytest.fixture(scope="module")
def lamp(generator: StoryVideoGenerator, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(generator, tmp_path_factory.mktemp("lamp"), board())


def test_the_film_holds_all_its_scenes_with_sound_and_text_in_step(lamp: Made) -> None:
    found, scenes = probe(lamp.film), lamp.scenes
    assert (found.width, found.height, found.fps) == (640, 360, 8)
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")
    assert found.duration == pytest.approx(scenes[-1][1], abs=0.01)
    assert found.audio_duration == pytest.approx(found.duration, abs=0.1)
    assert [c.title for c in found.chapters] == [scene["title"] for scene in SCENES]
    assert [c.start for c in found.chapters] == pytest.approx([s for s, _ in scenes], abs=0.01)
    cues = cues_of_film(lamp.film)
    for beside in (
        cues_of_srt(lamp.files["story.srt"].read_text()),
        cues_of_vtt(lamp.files["story.vtt"].read_text()),
    ):
        assert [cue.text for cue in beside] == [cue.text for cue in cues]
    loud = np.abs(read_sound(lamp.film).samples).reshape(-1)
    for (start, end), said in zip(scenes, SCENES, strict=True):
        inside = [cue for cue in cues if start <= cue.start < end]
        assert all(cue.end <= end for cue in inside)
        assert " ".join(" ".join(cue.text for cue in inside).split()) == said["narration"]
        heard = loud[round(inside[0].start * 48_000) : round(inside[0].end * 48_000)]
        assert heard.mean() > 0.02
        waits = loud[round(start * 48_000) + 4800 : round(inside[0].start * 48_000) - 4800]
        assert waits.max() < 0.01, "the voice waits for its scene to be there"


def test_everybody_stays_who_they_are_and_goes_where_they_are_said_to_go(lamp: Made) -> None:
    seen = [lamp.person(number) for number in (1, 2, 3, 4)]
    assert [person["scene"] for person in seen] == ["beach", "night", "city", "park"]
    kept = [person["hair"] == "red" and person["skin"] == "pale" for person in seen]
    assert sum(kept) >= 3
    for note in lamp.notes["pictures"]:
        assert 0 <= note["likeness"] <= 1 and 1 <= note["tries"] <= 3
        label = metadata_of_picture(lamp.files[note["name"]].read_bytes())
        assert (label.seed, label.prompt) == (note["seed"], note["prompt"])


def test_scenes_come_and_go_as_the_storyboard_says(lamp: Made) -> None:
    frames = np.stack(list(read_frames(lamp.film))).astype(float)
    brightness = frames.mean(axis=(1, 2, 3))
    starts = [round(start * 8) for start, _ in lamp.scenes]
    assert brightness[0] < 60 and brightness[-1] < 25, "from black, and back to it"
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    fading = change[starts[1] - 1 : starts[1] + 5]
    assert change[starts[3] - 1] > 2 * fading.max(), "the last is cut, the second fades in"


def test_it_says_what_it_used_and_never_goes_back(lamp: Made) -> None:
    assert {"model", "seed", "steps", "memory_plan", "script_by", "voices"} <= lamp.notes.keys()
    fractions = [fraction for fraction, _ in lamp.context.told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_a_story_becomes_a_storyboard_that_is_accepted(
    generator: StoryVideoGenerator, tmp_path: Path
) -> None:
    story = "One day Ben sat in the park.\n\nThen Ben went to the city. " * 3
    made = make(generator, tmp_path, {"story": story, "only": "storyboard"})
    assert list(made.files) == ["storyboard.json"]
    written = json.loads(made.files["storyboard.json"].read_text())
    assert [c["name"] for c in written["characters"]] == ["Ben"]
    assert begun(tmp_path / "again", {"storyboard": written})[1].storyboard is not None
    assert {"model", "seed", "memory_plan"} <= made.notes.keys()


def test_music_gives_way_to_the_voice(generator: StoryVideoGenerator, tmp_path: Path) -> None:
    quiet = {"title": "Pause", "seconds": 6.0, "transition": "cut"}
    scenes = [SCENES[0] | {"seconds": 7.0}, quiet]
    alone = make(generator, tmp_path / "alone", board(*scenes))
    made = make(generator, tmp_path / "music", board(*scenes) | {"music": {"level": 0.5}})
    voice = read_sound(alone.film).samples.mean(axis=1)
    both = read_sound(made.film).samples.mean(axis=1)
    length = min(len(voice), len(both))
    music = both[:length] - voice[:length]
    cues = cues_of_film(made.film)
    spoken = slice(round(cues[0].start * 48_000) + 24_000, round(cues[0].end * 48_000) - 4_800)
    pause = slice(round(made.scenes[1][0] * 48_000), round((made.scenes[1][1] - 2) * 48_000))
    under, between = (float(np.sqrt((music[part] ** 2).mean())) for part in (spoken, pause))
    assert between > 0.01, "there is music"
    assert under < 0.5 * between, "quieter by far while somebody speaks"


def sine() -> dict[str, str]:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = np.sin(np.arange(16_000) * 2 * np.pi * 440 / 8000)
        file.writeframes((20_000 * tone).astype("<i2").tobytes())
    return {"data": "data:audio/wav;base64," + base64.b64encode(out.getvalue()).decode()}


def test_own_music_is_played_and_noise_refused(
    generator: StoryVideoGenerator, tmp_path: Path
) -> None:
    silent = board({"shot": "the moon at night", "seconds": 3.0})
    made = make(generator, tmp_path / "a", silent | {"music": {"audio": sine(), "level": 1.0}})
    samples = read_sound(made.film).samples[48_000:96_000].mean(axis=1)
    assert np.abs(np.fft.rfft(samples)).argmax() == 440
    assert probe(made.film).subtitle_codec is None, "nobody says anything"
    broken = {"data": "data:audio/wav;base64," + base64.b64encode(b"no sound").decode()}
    with pytest.raises(BadInput) as refused:
        make(generator, tmp_path / "b", silent | {"music": {"audio": broken}})
    assert refused.value.code == "unreadable_audio"


def test_a_persona_plays_a_character(generator: StoryVideoGenerator, tmp_path: Path) -> None:
    who = Person("woman", "blond", "dark", "purple", "plain", "shirt", "room")
    images = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        Image.fromarray(draw_person(who, random.Random(number)).picture).save(path)
        images.append(path)
    personas = {PERSONA: Persona(PERSONA, "Ada", "a woman", tuple(images))}
    cast = ({"name": "Mira", "persona_id": PERSONA},)
    made = make(generator, tmp_path / "a", board(*SCENES[:2], cast=cast), personas=personas)
    assert [made.person(n)["hair"] for n in (1, 2)] == ["blond", "blond"]
    assert [made.person(n)["skin"] for n in (1, 2)] == ["dark", "dark"]
    assert not [name for name in made.files if name.startswith("character")], "it stays where it is"
    with pytest.raises(BadInput) as refused:
        make(generator, tmp_path / "b", {"earlier": JOB, "scenes": [1]}, earlier=made)
    assert refused.value.code == "persona_not_named"


def test_pictures_move_by_themselves_where_they_are_asked_to(
    generator: StoryVideoGenerator, tmp_path: Path
) -> None:
    scene = SCENES[0] | {"motion": "still", "transition": "cut"}
    made = make(generator, tmp_path, board(scene) | {"motion": "generated", "steps": 4})
    assert probe(made.files["motion-01.mp4"]).frames == 8
    frames = np.stack(list(read_frames(made.files["scene-01.mp4"]))[4:12]).astype(float)
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.3
    assert made.notes["motion_model"] == "atelier-tiny-motion"


def test_subtitles_can_be_seen_in_the_picture(
    generator: StoryVideoGenerator, tmp_path: Path
) -> None:
    bare = make(generator, tmp_path / "bare", board(SCENES[0]))
    made = make(generator, tmp_path / "a", board(SCENES[0]) | {"burn_subtitles": True})
    said = cues_of_film(made.film)[0]
    frame = round((said.start + said.end) / 2 * 8)
    burned, plain = (list(read_frames(m.files["scene-01.mp4"]))[frame] for m in (made, bare))
    apart = np.abs(burned.astype(int) - plain).max(axis=2)
    assert (apart[270:] > 60).mean() > 0.01 and (burned[270:] > 235).all(axis=2).any()
    assert (apart[:220] > 60).mean() < 0.001, "above them nothing changes"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"voice": "nobody"}, "unknown_voice"),
        (board(*[SCENES[0] | {"seconds": 60.0}] * 21), "too_long"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(
    generator: StoryVideoGenerator, tmp_path: Path, given: dict[str, object], code: str
) -> None:
    with pytest.raises(BadInput) as refused:
        make(generator, tmp_path, board() | given)
    assert refused.value.code == code


@pytest.mark.parametrize("stage", ["animating", "mixing"])
def test_a_cancel_is_heard_at_the_stages_that_the_example_lacks(
    generator: StoryVideoGenerator, tmp_path: Path, stage: str
) -> None:
    stopped: list[float] = []

    def watch(context: Watched) -> None:
        if context.told[-1][1] == stage and not stopped:
            stopped.append(time.monotonic())
            threading.Timer(0.05, lambda: context.stop(StopReason.CANCELED)).start()

    given = board(*SCENES[:2]) | {"music": {}, "seed": 3}
    if stage == "animating":
        given |= {"motion": "generated"}
    before = threading.active_count()
    try:
        make(generator, tmp_path, given, watcher=watch)
    except Stopped:
        assert not (tmp_path / "work" / "story.mp4").exists()
    assert stopped and time.monotonic() - stopped[0] < 120
    assert threading.active_count() <= before + 1
