"""What a job reports while an operation runs for it."""

from pathlib import Path

import pytest
from PIL import Image

from deployments.contract import Stopped
from deployments.generators.common.progress import ProgressReporter
from deployments.worker.context import RunContext, StopReason
from models.inference.inference import DrawingProgress, Progress


def test_an_operation_brings_its_part_from_one_share_to_another(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    reporter = ProgressReporter(context, "drawing", {"one": 1.0, "two": 3.0})
    reporter.callback("two", 0.0, 0.5)(Progress(1, 2))
    assert context.state == (pytest.approx(3 / 16), "drawing")


def test_pictures_drawn_together_are_parts_of_their_own(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    report = ProgressReporter(context, "drawing", {"a": 1.0, "b": 1.0}).batch_callback(["a", "b"])
    report(DrawingProgress(1, 4, 4))
    assert context.state[0] == pytest.approx(0.5)


def test_each_of_several_parts_is_told_of_once_it_is_made(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    reporter = ProgressReporter(context, "drawing", {"picture 1": 1.0, "picture 2": 1.0})
    reporter.report("picture 2", 0.5)
    for part in ("picture 2", "picture 2", "picture 1"):
        reporter.report(part)
    ProgressReporter(context, "drawing").update(1.0)
    said = [line["message"] for line in context.notes().lines]
    assert said == [
        "drawing began",
        "picture 2 made in 0.0 s, 1 of 2",
        "picture 1 made in 0.0 s, 2 of 2",
    ]


def test_a_preview_is_shown(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    context.set_watched(True)
    report = ProgressReporter(context, "drawing").callback("drawing")
    report(DrawingProgress(0, 1, 4, Image.new("RGB", (4, 4))))
    assert context.take_preview() is not None


def test_a_stopped_job_ends_its_operation(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    report = ProgressReporter(context, "drawing").callback("drawing")
    context.stop(StopReason.CANCELED)
    with pytest.raises(Stopped):
        report(Progress(1, 4))
