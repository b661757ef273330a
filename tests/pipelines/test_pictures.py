"""``ImagePipeline``: each request gets what a plain diffusers pipeline gives it, whoever comes too.

The shipped weights for what pictures mean and for every scheduler; random-weight miniatures of the
production classes for every other kind of request.
"""

import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import (
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging

from models.diffusion.batching import SessionCanceled
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import (
    DenoisingStep,
    DiffusionRequest,
    InvalidImages,
    SchedulerNotSupported,
    SizeNotSupported,
)
from models.diffusion.resolve import required_capability
from models.profiles.load import Capability, Profile, load_profile
from models.tiny.checker import check
from models.tiny.world import Person, Shape, caption
from tests.support.drawing import (
    drawing,
    off,
    passes,
    photo,
    plain,
    plainly_drawn,
    profile_of,
    right_half,
    stable_diffusion_profile,
)
from tests.support.miniatures import flows
from tests.support.miniatures import pictures as miniatures
from tests.support.miniatures.profile import entry
from tests.support.toy_pipeline import until

WITHIN = 1e-4  # of 0..1: batches add in another order
PROMPT = "a big yellow circle on a blue background"
diffusers_logging.disable_progress_bar()


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights, as they are now: what is compared must be read from the same files."""
    copy = tmp_path_factory.mktemp("pack") / "text_to_image"
    shutil.copytree(load_profile("tiny").model(Capability.TEXT_TO_IMAGE).source, copy)
    return copy


@pytest.fixture(scope="module")
def shipped(pack: Path) -> Profile:
    profile = load_profile("tiny")
    models = {
        key: model.model_copy(update={"path": pack}) if key == "atelier-tiny" else model
        for key, model in profile.models.items()
    }
    return profile.model_copy(update={"models": models})


@pytest.fixture(scope="module")
def pictures(shipped: Profile) -> Iterator[ImagePipeline]:
    with drawing(shipped) as pictures:
        yield pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion miniature."""
    return miniatures.stable_diffusion(tmp_path_factory.mktemp("sd"))


# The same as alone.


MIXED = [
    DiffusionRequest(
        "a red star on a white background", 1, steps=14, guidance=5.0, scheduler="ddim"
    ),
    DiffusionRequest(PROMPT, 2, steps=9, guidance=3.0, scheduler="euler"),
    DiffusionRequest("a small green square", 3, steps=7, guidance=1.0, scheduler="dpm++_2m"),
    DiffusionRequest(PROMPT, 4, "red", steps=8, guidance=4.0, scheduler="unipc"),
    DiffusionRequest("a woman in a blue dress", 5, steps=10, guidance=3.0, scheduler="euler_a"),
    DiffusionRequest(PROMPT, 2, steps=5, guidance=3.0, scheduler="ddim"),
    DiffusionRequest("a man at the beach", 7, "blue", steps=6, guidance=2.0, scheduler="dpm++_2m"),
    DiffusionRequest("", 8, steps=4, guidance=3.0, scheduler="unipc"),
    DiffusionRequest("a pink triangle", 9, steps=7, guidance=1.0, scheduler="euler_a"),
    DiffusionRequest("a pink triangle", 10, steps=3, guidance=7.5, scheduler="euler"),
]


def test_requests_may_join_and_leave_a_batch_at_any_step(shipped: Profile, pack: Path) -> None:
    with (
        drawing(shipped) as pictures,
        ThreadPoolExecutor(len(MIXED)) as pool,
        passes(UNet2DConditionModel) as rows,
    ):
        pictures.model_cache.run(pictures._loader(Capability.TEXT_TO_IMAGE), lambda _: None)
        futures = []
        for request in MIXED:
            seen = len(rows)
            # Two steps after the one before it, or when there is no other left.
            until(lambda seen=seen: not futures or len(rows) >= seen + 2 or futures[-1].done())
            futures.append(pool.submit(pictures.generate_arrays, request))
        together = [future.result(120)[0] for future in futures]
        hits = pictures._encoder_cache.hits
    pipeline = plain(pack, safety_checker=None, requires_safety_checker=False)
    alone = [plainly_drawn(pipeline, request, width=64, height=64) for request in MIXED]
    differences = [off(one, other) for one, other in zip(together, alone, strict=True)]
    assert max(differences) < WITHIN, differences
    wanted = sum(request.steps * (1 if request.guidance == 1.0 else 2) for request in MIXED)  # type: ignore[operator]
    assert sum(rows) == wanted, "no row is computed twice, none left out"
    assert sum(rows) / len(rows) > 3, "most were computed together"
    assert max(rows) > 6
    assert hits == 1, "a prompt that came with the same negative prompt was encoded again"


def test_what_a_request_leaves_open_is_taken_from_the_profile(folder: Path, tmp_path: Path) -> None:
    miniatures.controlnet(tmp_path)
    control = (Capability.CONTROL, entry("ControlNetModel", tmp_path))
    profile = stable_diffusion_profile(folder, control=control)
    set_in_profile = {
        Capability.IMAGE_TO_IMAGE: {"strength": 0.8, "steps": 5},
        Capability.INPAINT: {"strength": 0.7, "guidance": 2.0, "scheduler": "euler"},
        Capability.CONTROL: {"scale": 0.5, "steps": 2},
    }
    uses = {
        what: use.model_copy(update=set_in_profile.get(what, {}))
        for what, use in profile.capabilities.items()
    }
    with drawing(profile.model_copy(update={"capabilities": uses})) as pictures:
        for pictured in ({"image": photo()}, {"image": photo(), "mask": right_half()},
                         {"control": photo()}):  # fmt: skip
            request = DiffusionRequest("a cat", 1, **pictured)
            used, default = pictures.resolve(request), set_in_profile[required_capability(request)]
            said = replace(
                request, steps=used.steps, guidance=used.guidance,
                scheduler=default.get("scheduler"), strength=default.get("strength"),
                scale=default.get("scale"),
            )  # fmt: skip
            assert (used.steps, used.guidance) == (
                default.get("steps", 3), default.get("guidance", 3.0)
            )  # fmt: skip
            one, other = pictures.generate_arrays(request)[0], pictures.generate_arrays(said)[0]
            assert off(one, other) == 0, pictured


# Asking.


def test_the_pictures_of_a_request_have_seeds_of_their_own(pictures: ImagePipeline) -> None:
    request = DiffusionRequest(PROMPT, seed=42, steps=3, count=3)
    three = pictures.generate_arrays(request)
    second = pictures.generate_arrays(replace(request, seed=43, count=1))[0]
    assert off(three[1], second) < WITHIN
    assert off(three[0], second) > 0.05 < off(three[2], second)


def test_a_caller_that_stops_in_a_step_disturbs_nobody(pictures: ImagePipeline) -> None:
    request = DiffusionRequest(PROMPT, seed=5, steps=4)
    before = pictures.generate_arrays(request)[0]
    seen: list[int] = []

    class Stop(Exception):
        pass

    def stop(step: DenoisingStep) -> None:
        assert step.preview().size == (64, 64)
        assert step.total == 4
        seen.append(step.number)
        raise Stop

    with pytest.raises(Stop):
        pictures.generate(request, stop)
    assert seen == [1]
    assert off(pictures.generate_arrays(request)[0], before) == 0
    assert not pictures._engine._demand.transit


def test_when_one_picture_of_a_request_fails_its_others_stop(pictures: ImagePipeline) -> None:
    numbers: list[int] = []

    def stop(step: DenoisingStep) -> None:
        numbers.append(step.number)
        if step.image_index == 1:
            raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk"):
        pictures.generate(DiffusionRequest(PROMPT, seed=1, steps=30, count=3), stop)
    assert max(numbers) < 30, "a picture was drawn to its end although its request had failed"
    assert not pictures._engine._demand.transit


def test_a_cancelled_request_says_so(pictures: ImagePipeline) -> None:
    def cancel(_: DenoisingStep) -> None:
        raise SessionCanceled

    with pytest.raises(SessionCanceled):
        pictures.generate(DiffusionRequest(PROMPT, seed=1, steps=5, count=2), cancel)


def test_previews_of_packed_latents_are_pictures(tmp_path: Path) -> None:
    flows.flux(tmp_path)
    base = entry("FluxPipeline", tmp_path)
    profile = profile_of({"base": base}, {Capability.TEXT_TO_IMAGE: "base"}, guidance=0.0)
    previews: list[Any] = []
    with drawing(profile) as pictures:
        (final,) = pictures.generate(
            DiffusionRequest("a cat", 1, width=48, height=64, steps=2),
            lambda step: previews.append(step.preview()),
        )
    assert [preview.size for preview in previews] == [(48, 64), (48, 64)]
    assert np.array_equal(np.asarray(previews[-1]), np.asarray(final))


def test_a_size_the_weights_do_not_know_is_refused_before_any_work(pictures: ImagePipeline) -> None:
    with pytest.raises(SizeNotSupported, match="64"):
        pictures.generate(DiffusionRequest(PROMPT, seed=1, width=512, height=512))


def test_a_scheduler_that_does_not_fit_is_refused_with_those_that_do(
    pictures: ImagePipeline,
) -> None:
    with pytest.raises(SchedulerNotSupported, match="euler_a"):
        pictures.generate(DiffusionRequest(PROMPT, seed=1, scheduler="flow_euler"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask": right_half()},
        {"garment": photo()},
        {"image": photo(), "control": photo()},
    ],
    ids=lambda wrong: "+".join(wrong),
)
def test_pictures_that_do_not_go_together_are_refused(
    pictures: ImagePipeline, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidImages):
        pictures.generate(DiffusionRequest(PROMPT, seed=1, **wrong))


def test_a_prompt_longer_than_the_encoder_is_cut_and_drawn(pictures: ImagePipeline) -> None:
    long = PROMPT + ", " + "very nice and detailed " * 200
    assert pictures.generate(DiffusionRequest(long, seed=1, steps=2))[0].size == (64, 64)


# Holding.


def test_weights_nobody_uses_can_be_freed_and_are_read_again(folder: Path) -> None:
    request = DiffusionRequest("a cat", 1, steps=2)
    with drawing(stable_diffusion_profile(folder)) as pictures:
        before = pictures.generate_arrays(request)[0]
        network = pictures.model_cache.run(
            pictures._loader(Capability.TEXT_TO_IMAGE),
            lambda loaded: weakref.ref(loaded.network.unet.conv_in.weight),
        )
        assert network() is not None
        assert pictures.model_cache.evict_idle() == 1
        until(lambda: gc.collect() >= 0 and network() is None)
        assert off(pictures.generate_arrays(request)[0], before) == 0


def test_closing_leaves_no_thread_behind(folder: Path) -> None:
    before = set(threading.enumerate())
    with drawing(stable_diffusion_profile(folder)) as pictures:
        pictures.generate(DiffusionRequest("a cat", 1, steps=2, count=3))
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


# Meaning.


SHOWN = [
    Person("woman", "red", "pale", "blue", "plain", "shirt", "beach"),
    Person("man", "black", "dark", "yellow", "plain", "shirt", "park"),
    Person("woman", "gray", "tan", "green", "plain", "dress", "room"),
    Person("man", "blond", "pale", "red", "plain", "shirt", "night"),
    Shape("circle", "yellow", "blue"),
    Shape("square", "red", "white"),
    Shape("circle", "green", "black"),
    Shape("star", "white", "purple"),
]
PROMISED = {"person": ("hair", "skin", "color", "scene"), "shape": ("color", "background")}


def test_pictures_show_what_their_prompts_say(pictures: ImagePipeline) -> None:
    requests = [DiffusionRequest(caption(shown), seed=7) for shown in SHOWN]
    with ThreadPoolExecutor(len(SHOWN)) as pool:
        drawn = list(pool.map(pictures.generate, requests))
    missed = []
    for shown, (image,) in zip(SHOWN, drawn, strict=True):
        found = check(np.asarray(image), shown)
        kind = "person" if isinstance(shown, Person) else "shape"
        missed += [(caption(shown), name) for name in PROMISED[kind] if not found[name]]
    promised = sum(len(PROMISED["person" if isinstance(s, Person) else "shape"]) for s in SHOWN)
    # Not every seed of a model of this size hits everything; nine in ten must be there.
    assert len(missed) <= promised // 10, missed
