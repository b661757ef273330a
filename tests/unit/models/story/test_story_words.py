"""What pictures of a story are drawn from, and the music under it."""

import numpy as np
import pytest

from models.profiles.load import Profile, load_profile
from models.storyfilm.ambient_music import STYLES, ambient_music
from models.storyfilm.prompts.base import Role, Shot
from models.storyfilm.prompts.captions import CaptionPromptBuilder
from models.storyfilm.prompts.choose import prompt_builder_for
from models.storyfilm.prompts.plain import PlainPromptBuilder

MIRA = Role("Mira", "Mira was a woman with long red hair and fair skin in a navy striped blouse.")
TOM = Role("Tom", "At the market she met Tom, an old sailor.")
SHOTS = [
    Shot("Mira looks out over the sea", "Mira lit the lamp.", "wide", ("Mira",)),
    Shot("Tom waves", "Tom laughed. He gave her a jar.", "close", ("Tom", "Mira")),
    Shot("Mira runs in a yellow dress", "She ran to the city at last.", "medium", ("Mira",)),
    Shot("the moon behind the clouds", "", "wide"),
]


def test_the_small_model_is_told_in_its_own_captions() -> None:
    told = [
        prompt.text
        for prompt in CaptionPromptBuilder().scene_prompts([MIRA, TOM], SHOTS, "oil on canvas")
    ]
    assert told[0] == "a woman with pale skin and red hair in a blue striped shirt at the beach"
    assert told[1].startswith("a man with ") and "red hair" not in told[1], "unlike Mira"
    assert told[1].endswith(" at the beach"), "nobody said that they left it"
    assert told[2] == "a woman with pale skin and red hair in a yellow dress at the city"
    assert told[3] == "a big yellow circle at the center on a black background"


def test_what_only_a_picture_shows_is_not_made_up() -> None:
    persona = Role("Mira", "a woman", has_picture=True)
    [prompt, *_] = CaptionPromptBuilder().scene_prompts([persona, TOM], SHOTS, "")
    assert prompt.text == "a woman at the beach"
    assert prompt.strength is None, "the picture has to tell everything"


def test_other_models_are_told_in_sentences() -> None:
    told = [
        prompt.text
        for prompt in PlainPromptBuilder().scene_prompts([MIRA, TOM], SHOTS, "oil on canvas")
    ]
    assert told[1] == (
        "close-up, Tom waves, At the market she met Tom, an old sailor; Mira was a woman with long"
        " red hair and fair skin in a navy striped blouse, oil on canvas"
    )
    [portrait, _] = PlainPromptBuilder().portrait_prompts([MIRA, TOM], SHOTS, "")
    assert "Mira was a woman" in portrait and "one person" in portrait


def test_the_profile_decides_how_it_is_told() -> None:
    assert isinstance(prompt_builder_for(load_profile("tiny")), CaptionPromptBuilder)
    large: Profile = load_profile("rtx4090")
    assert isinstance(prompt_builder_for(large), PlainPromptBuilder)


@pytest.mark.parametrize("style", STYLES)
def test_the_bed_is_soft_even_and_runs_into_its_own_beginning(style: str) -> None:
    bed = ambient_music(style, 7)
    samples = bed.samples
    assert samples.shape[1] == 2 and 20 < bed.duration < 45
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)
    seconds = samples[: len(samples) // 48_000 * 48_000].reshape(-1, 48_000, 2)
    loudness = np.sqrt((seconds**2).mean(axis=(1, 2)))
    assert loudness.min() > 0.25 * loudness.max(), "no hole and no bang"
    seam = np.abs(samples[0] - samples[-1]).max()
    assert seam <= np.abs(np.diff(samples, axis=0)).max(), "no click where it is repeated"
    spectrum = np.abs(np.fft.rfft(samples.mean(axis=1)))
    hertz = np.fft.rfftfreq(len(samples), 1 / 48_000)
    high = (spectrum[hertz > 3000] ** 2).sum() / (spectrum**2).sum()
    assert high < 0.02, "nothing shrill"


def test_the_bed_is_a_matter_of_its_seed() -> None:
    one, same, other = ambient_music("calm", 1), ambient_music("calm", 1), ambient_music("calm", 2)
    assert np.array_equal(one.samples, same.samples)
    assert not np.array_equal(one.samples, other.samples)
