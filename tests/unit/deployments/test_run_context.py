"""What a generator may say while it runs, and what its runner hears of it."""

import io
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import deployments.worker.context
from deployments.contract import Context, Stopped
from deployments.worker.context import FetchedInputs, RunContext, StopReason
from models.inference.inference import Inference, OnEvent, Operation, R, ignore_event
from models.profiles.load import load_profile


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(7, tmp_path, FetchedInputs({"photo": tmp_path / "photo.png"}))


def picture(colour: str = "red") -> Image.Image:
    return Image.new("RGB", (4, 4), colour)


def test_it_gives_the_seed_the_folder_and_the_inputs(context: RunContext, tmp_path: Path) -> None:
    seam: Context = context
    assert (seam.seed, seam.workdir) == (7, tmp_path)
    assert seam.inputs == {"photo": tmp_path / "photo.png"}
    seam.inputs.clear()
    assert seam.inputs, "a generator cannot spoil what the next call gives"


# Progress


def test_progress_never_goes_back(context: RunContext) -> None:
    seen = []
    for fraction in (0.2, 0.6, 0.4, 0.6, 0.7):
        context.progress(fraction, "drawing")
        seen.append(context.state[0])
    assert seen == [0.2, 0.6, 0.6, 0.6, 0.7]


@pytest.mark.parametrize(
    ("told", "shown"), [(-1.0, 0.25), (1.5, 1.0), (math.inf, 1.0), (-math.inf, 0.25), (1, 1.0)]
)
def test_progress_outside_its_bounds_is_clipped(
    context: RunContext, told: float, shown: float
) -> None:
    context.progress(0.25, "drawing")
    context.progress(told, "drawing")
    assert context.state == (shown, "drawing")


def test_a_fraction_that_is_no_number_changes_only_the_stage(context: RunContext) -> None:
    context.progress(0.5, "drawing")
    context.progress(math.nan, "encoding")
    assert context.state == (0.5, "encoding")
    context.progress(0.75, "encoding")
    assert context.state == (0.75, "encoding")


def test_before_the_first_word_nothing_is_done(context: RunContext) -> None:
    assert context.state == (0.0, "")
    assert context.notes().stages == []


# Previews


def test_there_are_no_previews_while_nobody_watches(context: RunContext) -> None:
    context.preview(picture())
    assert context.take_preview() is None


def test_a_preview_is_taken_once_as_png(context: RunContext) -> None:
    context.set_watched(True)
    assert context.take_preview() is None
    context.preview(picture("red"))
    taken = context.take_preview()
    assert taken is not None
    with Image.open(io.BytesIO(taken)) as shown:
        assert (shown.format, shown.getpixel((0, 0))) == ("PNG", (255, 0, 0))
    assert context.take_preview() is None


def test_previews_that_come_too_fast_are_dropped(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.set_watched(True)
    context.preview(picture())
    assert context.take_preview() is not None
    monkeypatch.setattr(deployments.worker.context, "PREVIEW_INTERVAL_S", 3600)
    for _ in range(50):
        context.preview(picture())
        assert context.take_preview() is None
    monkeypatch.setattr(deployments.worker.context, "PREVIEW_INTERVAL_S", 0.05)
    time.sleep(0.06)
    context.preview(picture())
    assert context.take_preview() is not None


def test_a_preview_nobody_took_is_replaced_by_the_next(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments.worker.context, "PREVIEW_INTERVAL_S", 0.0)
    context.set_watched(True)
    context.preview(picture("red"))
    context.preview(picture("blue"))
    taken = context.take_preview()
    assert taken is not None
    with Image.open(io.BytesIO(taken)) as shown:
        assert shown.getpixel((0, 0)) == (0, 0, 255)
    assert context.take_preview() is None


# Notes


def test_notes_are_gathered_and_the_last_word_counts(context: RunContext) -> None:
    context.note(model="tiny", steps=10)
    context.note(steps=12)
    assert context.notes().values == {"model": "tiny", "steps": 12}


def test_notes_are_handed_out_as_a_copy(context: RunContext) -> None:
    context.note(model="tiny")
    context.progress(0.1, "drawing")
    taken = context.notes()
    taken.values.clear()
    taken.stages[0]["name"] = "spoilt"
    assert context.notes().values == {"model": "tiny"}
    assert context.notes().stages[0]["name"] == "drawing"


def test_each_stage_is_timed_until_the_next_begins(context: RunContext) -> None:
    context.progress(0.1, "drawing")
    time.sleep(0.2)
    context.progress(0.2, "drawing")
    context.progress(0.9, "encoding")
    time.sleep(0.1)
    drawing, encoding = context.notes().stages
    assert (drawing["name"], encoding["name"]) == ("drawing", "encoding")
    assert drawing["seconds"] >= 0.2
    assert encoding["seconds"] >= 0.1, "the open one has its seconds so far"
    assert drawing["started_at"] < encoding["started_at"]
    later = context.notes().stages
    assert later[0] == drawing, "an ended stage grows no more"


def test_many_threads_lose_nothing_of_each_other(context: RunContext) -> None:
    def talk(number: int) -> None:
        for step in range(200):
            context.note(**{f"{number}-{step}": step})
            context.progress(step / 400, "drawing")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(context.notes().values) == 1600
    assert context.state == (199 / 400, "drawing")
    assert len(context.notes().stages) == 1


# A stop


def part_of(context: RunContext) -> Path:
    path = context.workdir / "part"
    path.touch()
    return path


class Models(Inference):
    """Stands for the models: nothing is asked of them here."""

    profile = load_profile("tiny")

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        raise NotImplementedError

    def memory_plans(self) -> dict[str, str]:
        return {}


CALLS: dict[str, Callable[[RunContext], object]] = {
    "inference": lambda context: context.inference,
    "seed": lambda context: context.seed,
    "workdir": lambda context: context.workdir,
    "inputs": lambda context: context.inputs,
    "personas": lambda context: context.personas,
    "earlier": lambda context: context.earlier,
    "kept": lambda context: context.kept,
    "keep": lambda context: context.keep(part_of(context)),
    "progress": lambda context: context.progress(0.9, "late"),
    "preview": lambda context: context.preview(picture()),
    "note": lambda context: context.note(late=True),
    "charge_only": lambda context: context.charge_only(0.5),
    "log": lambda context: context.log("late"),
}


def test_every_call_that_a_generator_has_is_tried_below() -> None:
    assert set(CALLS) == {name for name in vars(Context) if not name.startswith("_")}


@pytest.mark.parametrize("reason", list(StopReason))
@pytest.mark.parametrize("call", CALLS)
def test_every_call_raises_after_a_stop_and_changes_nothing(
    context: RunContext, tmp_path: Path, call: str, reason: StopReason
) -> None:
    CALLS[call](RunContext(7, tmp_path, inference=Models()))  # raises nothing before it
    context.progress(0.5, "drawing")
    context.stop(reason)
    for _ in range(2):
        with pytest.raises(Stopped):
            CALLS[call](context)
    assert context.state == (0.5, "drawing")
    assert context.take_preview() is None
    assert context.notes().values == {}
    assert [line["message"] for line in context.notes().lines] == ["drawing began"]


def test_what_is_to_be_kept_is_taken_once_and_lies_in_the_work_directory(tmp_path: Path) -> None:
    context = RunContext(7, tmp_path)
    context.keep(part_of(context))
    assert context.take_files_to_keep() == [tmp_path / "part"]
    assert context.take_files_to_keep() == []
    for other in (tmp_path / "nothing", tmp_path.parent / "part", Path(__file__)):
        with pytest.raises(ValueError, match="no file of the work directory"):
            context.keep(other)


def test_the_first_reason_for_a_stop_stays(context: RunContext) -> None:
    assert context.stop_reason is None
    context.stop(StopReason.CANCELED)
    context.stop(StopReason.LOST)
    assert context.stop_reason is StopReason.CANCELED


def test_the_runner_goes_on_after_a_stop(context: RunContext) -> None:
    context.progress(0.5, "drawing")
    context.stop(StopReason.CANCELED)
    context.enter_stage("settling")
    assert context.state == (0.5, "settling")
    assert [stage["name"] for stage in context.notes().stages] == ["drawing", "settling"]


# What is charged


def test_the_whole_quote_is_charged_unless_the_generator_says_less(context: RunContext) -> None:
    assert context.charged_share == 1.0
    context.charge_only(0.25)
    assert context.charged_share == 0.25
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="share"):
            context.charge_only(share)
