"""One interface over four families of film models, on random-weight miniatures of each.

Random weights say nothing about what a film shows: that Wan and LTX open on the given picture
cannot be tested here, only that the picture matters and that the film has the right shape.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.diffusion.video.families import UnknownVideoFamily
from models.diffusion.video.pipeline import ImageToVideo, VideoDefaultsMissing
from models.diffusion.video.requests import VideoNotSupported, VideoRequest
from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, Profile, load_profile, profile_names
from tests.support.miniatures import films, pictures
from tests.support.miniatures.profile import entry, profile

USE = {"width": 64, "height": 64, "min_size": 32, "max_size": 128, "steps": 2, "guidance": 3.0}


def picture(seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 64), Image.Resampling.NEAREST)


def animatediff(folder: Path) -> Profile:
    adapter = entry("MotionAdapter", films.motion_adapter(folder / "adapter"))
    base = entry("StableDiffusionPipeline", pictures.stable_diffusion(folder / "base"))
    return film_profile(adapter, 4, base=base, strength=0.8)


def film_profile(model: Any, frames: int, **more: Any) -> Profile:
    return profile(Capability.IMAGE_TO_VIDEO, model, frames=frames, fps=8, **USE, **more)


def single(loader: str, build: Callable[[Path], Path], frames: int) -> Callable[[Path], Profile]:
    return lambda folder: film_profile(entry(loader, build(folder)), frames)


FAMILIES = {
    "animatediff": animatediff,
    "svd": single("StableVideoDiffusionPipeline", films.stable_video_diffusion, 3),
    "wan from a picture": single("WanImageToVideoPipeline", films.wan_from_picture, 5),
    "wan in two stages": single("WanImageToVideoPipeline", films.wan_in_two_stages, 5),
    "wan from either": single("WanImageToVideoPipeline", films.wan_from_either, 5),
    "wan from text": single("WanPipeline", films.wan_from_text, 5),
    "ltx": single("LTXImageToVideoPipeline", films.ltx, 9),
}
NO_TEXT_ALONE = {"svd", "wan from a picture", "wan in two stages"}
NO_PICTURE = {"wan from text"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageToVideo]:
    return {
        name: ImageToVideo.loader(build(tmp_path_factory.mktemp("film"))).load(
            MemoryPlan.RESIDENT, "cpu"
        )
        for name, build in FAMILIES.items()
    }


@pytest.fixture(params=FAMILIES)
def model(models: dict[str, ImageToVideo], request: pytest.FixtureRequest) -> ImageToVideo:
    return models[request.param]


def asked(model: ImageToVideo, seed: int = 1, **more: Any) -> VideoRequest:
    """A request that the family of ``model`` takes."""
    given = {"image": picture() if model._family.takes_image else None, **more}
    return VideoRequest(prompt="a red cat", seed=seed, **given)


def pixels(frames: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in frames]).astype(int)


def test_a_film_has_the_frames_asked_for_and_its_seed_decides_it(model: ImageToVideo) -> None:
    used = model.resolve(asked(model))
    film, again = (pixels(model.generate(asked(model))) for _ in range(2))
    assert film.shape == (used.frames, used.height, used.width, 3)
    assert np.array_equal(film, again)
    assert not np.array_equal(film, pixels(model.generate(asked(model, seed=2))))
    # Each film has a scheduler of its own: the one it was copied from was never set to steps.
    assert getattr(model.network.scheduler, "num_inference_steps", None) is None


def test_what_is_asked_for_reaches_the_model(model: ImageToVideo) -> None:
    film = pixels(model.generate(asked(model)))
    if model._family.takes_image:
        other = pixels(model.generate(asked(model, image=picture(5))))
        assert not np.array_equal(film, other)
    prompted = pixels(model.generate(VideoRequest(asked(model).image, "zzz", 1)))
    assert np.array_equal(film, prompted) is not model.resolve(asked(model)).uses_prompt
    still = pixels(model.generate(asked(model, motion=0.0)))
    assert np.array_equal(film, still) is (model.resolve(asked(model)).motion is None)


def test_a_negative_prompt_that_changes_nothing_is_named(model: ImageToVideo) -> None:
    """Where the family takes no words, or draws without guidance."""
    guided, plain = (
        asked(model, negative_prompt="a dog", guidance=guidance) for guidance in (3.0, 1.0)
    )
    takes_words = model.resolve(asked(model)).uses_prompt
    assert ("negative_prompt" in model.resolve(guided).ignored) is not takes_words
    assert "negative_prompt" in model.resolve(plain).ignored
    assert not model.resolve(asked(model)).ignored


def test_films_asked_for_at_once_are_what_each_is_alone(model: ImageToVideo) -> None:
    requests = [asked(model, seed=seed, steps=1 + seed) for seed in range(2)]
    alone = [pixels(model.generate(request)) for request in requests]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda request: pixels(model.generate(request)), requests))
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1


def test_a_film_stopped_in_a_step_disturbs_no_other(model: ImageToVideo) -> None:
    before = pixels(model.generate(asked(model)))
    seen: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def stop(number: int, total: int) -> None:
        seen.append((number, total))
        if number == 2:
            raise Stop

    with pytest.raises(Stop):
        model.generate(asked(model, steps=3, seed=9), stop)
    assert seen == [(1, 3), (2, 3)]
    assert np.array_equal(pixels(model.generate(asked(model))), before)


def test_who_waits_for_a_turn_can_give_up(models: dict[str, ImageToVideo]) -> None:
    model = models["ltx"]

    class Stop(Exception):
        pass

    def stop(number: int, total: int) -> None:
        assert (number, total) == (0, 2)
        raise Stop

    with model._exclusive.acquire(lambda: None), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(model.generate, asked(model), stop)
        with pytest.raises(Stop):
            waiting.result(timeout=120)


@pytest.mark.parametrize("name", FAMILIES)
def test_text_alone_or_a_picture_is_refused_where_the_weights_cannot(
    models: dict[str, ImageToVideo], name: str
) -> None:
    for image, refusing in ((None, NO_TEXT_ALONE), (picture(), NO_PICTURE)):
        request = VideoRequest(image, "a red cat", 1)
        if name in refusing:
            with pytest.raises(VideoNotSupported, match="picture"):
                models[name].generate(request)
        else:
            assert models[name].generate(request)


@pytest.mark.parametrize(
    ("name", "request_", "said"),
    [
        ("ltx", {"frames": 8}, "9 is the nearest"),
        ("wan from text", {"frames": 8}, "9 is the nearest"),
        ("svd", {"frames": 99}, "14 is the nearest"),
        ("animatediff", {"frames": 17}, "16 is the nearest"),
        ("ltx", {"frames": 1}, "9 is the nearest"),
        ("ltx", {"width": 48}, "multiples of 32"),
        ("wan from text", {"height": 72}, "multiples of 16"),
        ("animatediff", {"width": 256}, "sides of 32 to 128"),
        ("svd", {"motion": 2.0}, "motion"),
    ],
)
def test_what_the_family_cannot_make_is_refused_before_any_work(
    models: dict[str, ImageToVideo], name: str, request_: dict[str, Any], said: str
) -> None:
    def no_work(number: int, total: int) -> None:
        pytest.fail("it began")

    with pytest.raises(VideoNotSupported, match=said):
        models[name].generate(asked(models[name], **request_), no_work)


def test_the_default_film_of_every_profile_is_one_its_family_makes(
    models: dict[str, ImageToVideo],
) -> None:
    """The miniatures have the time and space factors of the real models."""
    by_hub = {
        "Wan-AI/Wan2.2-I2V": "wan in two stages",
        "Wan-AI/Wan2.2-TI2V": "wan from either",
    }
    checked = 0
    for name in profile_names():
        found = load_profile(name)
        if Capability.IMAGE_TO_VIDEO not in found.capabilities or found.device == "cpu":
            continue
        hub = str(found.model(Capability.IMAGE_TO_VIDEO).hub_id)
        family = models[next(value for key, value in by_hub.items() if hub.startswith(key))]
        use = found.capability_config(Capability.IMAGE_TO_VIDEO)
        real = ImageToVideo(family.network, hub, use)
        real.resolve(asked(real))
        checked += 1
    assert checked


def test_a_profile_without_defaults_and_a_pipeline_of_no_family_are_refused(
    models: dict[str, ImageToVideo],
) -> None:
    use = load_profile("rtx3050").capability_config(Capability.IMAGE_TO_VIDEO)
    with pytest.raises(VideoDefaultsMissing, match="frames, fps"):
        unsaid = use.model_copy(update={"frames": None, "fps": None})
        ImageToVideo(models["ltx"].network, "m", unsaid)
    with pytest.raises(UnknownVideoFamily, match="object"):
        ImageToVideo(object(), "m", use)
