"""A story film gone on with after its process was killed, and one with a scene made anew."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deployments.generators.story_video.generator import StoryVideoGenerator
from models.media.probe import probe
from tests.support.images_alike import assert_same_but_for_rounding
from tests.support.stories import JOB, SCENES, Made, begun, board, make

ROOT = Path(__file__).parents[2]
# A replica less the service: what its generator asks to keep is stored as the runner stores it.
REPLICA = """
import sys, shutil, time
from pathlib import Path
from deployments.generators.story_video.generator import StoryVideoGenerator
from tests.support.stories import begun, board

folder, store = Path(sys.argv[1]), Path(sys.argv[2])

def save(context):
    for path in context.take_files_to_keep():
        shutil.copy(path, store / (path.name + ".part"))
        (store / (path.name + ".part")).rename(store / path.name)
        while path.name == "scene-02.png":  # it is killed here, however late that is
            time.sleep(1)

generator = StoryVideoGenerator()
context, request = begun(folder, board(), save)
generator.generate(request, context)
"""


@pytest.fixture(scope="module")
def generator() -> StoryVideoGenerator:
    return StoryVideoGenerator()


@pytest.fixture(scope="module")
def lamp(generator: StoryVideoGenerator, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The film, made in one go."""
    return make(generator, tmp_path_factory.mktemp("lamp"), board())


def test_a_killed_attempt_is_gone_on_with_and_the_film_is_the_same(
    generator: StoryVideoGenerator, lamp: Made, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    command = [sys.executable, "-c", REPLICA, str(tmp_path / "lost"), str(store)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        until = time.monotonic() + 480
        while not (store / "scene-02.png").exists() and time.monotonic() < until:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    kept = {path.name: path for path in store.iterdir() if path.suffix != ".part"}
    assert not any(name.startswith("scene-04") for name in kept), "it was killed in the middle"
    made = make(generator, tmp_path / "again", board(), kept=kept)
    taken = [note.get("taken_over", False) for note in made.notes["pictures"]]
    assert taken[:2] == [True, True] and not taken[3]
    assert_same_but_for_rounding(made, lamp)


def test_one_scene_is_made_anew_and_the_others_stay_as_they_are(
    generator: StoryVideoGenerator, lamp: Made, tmp_path: Path
) -> None:
    again: dict[str, Any] = {"earlier": JOB, "scenes": [2], "seed": 99}
    made = make(generator, tmp_path, again, earlier=lamp)
    assert made.hash("scene-02.png") != lamp.hash("scene-02.png")
    for name in ("scene-01.png", "scene-03.png", "scene-04.png", "storyboard.json"):
        assert made.hash(name) == lamp.hash(name), name
    assert probe(made.film).duration == pytest.approx(probe(lamp.film).duration, abs=0.01)
    taken = [note.get("taken_over", False) for note in made.notes["pictures"]]
    assert taken == [True, False, True, True]
    assert made.person(2)["scene"] == "night"


def test_an_edited_storyboard_is_filmed_with_what_did_not_change(
    generator: StoryVideoGenerator, lamp: Made, tmp_path: Path
) -> None:
    scenes = [
        *SCENES[:3],
        SCENES[3] | {"narration": "And all was well.", "transition": "crossfade"},
    ]
    context, request = begun(tmp_path, {"earlier": JOB} | board(*scenes), earlier=lamp)
    made = Made(generator.generate(request, context), context)
    for number in range(1, 5):
        name = f"scene-{number:02}.png"
        assert made.hash(name) == lamp.hash(name), "what is seen is what it was"
    assert made.hash("scene-01.mp4") == lamp.hash("scene-01.mp4")
    assert made.hash("scene-04.mp4") != lamp.hash("scene-04.mp4")
    assert "all was well" in " ".join(made.files["story.srt"].read_text().split())
