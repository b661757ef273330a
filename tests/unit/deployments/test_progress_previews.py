"""Previews of a job's pictures: a courtesy that never ends the job."""

from pathlib import Path

import pytest
import structlog
from PIL import Image

import deployments.generators.common.progress as progress_module
from deployments.contract import Stopped
from deployments.generators.common.progress import ProgressReporter
from deployments.worker.context import RunContext, StopReason
from models.diffusion.batching import SessionCanceled
from models.diffusion.requests import DenoisingStep


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PREVIEW_INTERVAL_S", -1.0)


class Previews:
    """Counts how often it is asked; raises ``error`` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self._error = 0, error

    def __call__(self) -> Image.Image:
        self.asked += 1
        if self._error is not None:
            raise self._error
        return Image.new("RGB", (4, 4))


def step(number: int, previews: Previews) -> DenoisingStep:
    return DenoisingStep(0, number, 4, previews)


def test_a_preview_that_raises_is_logged_once_and_the_job_goes_on(tmp_path: Path) -> None:
    context, broken = RunContext(1, tmp_path), Previews(AttributeError("no scaling_factor"))
    on_step = ProgressReporter(context, "drawing").step_callback("drawing")
    with structlog.testing.capture_logs() as logs:
        for number in (1, 2, 3, 4):
            on_step(step(number, broken))
    assert [line["event"] for line in logs] == ["preview_failed"]
    assert "no scaling_factor" in logs[0]["error"]
    assert broken.asked == 1, "what failed is not tried again"
    assert context.state == (1.0, "drawing")
    assert context.take_preview() is None


def test_previews_that_can_be_decoded_are_shown(tmp_path: Path) -> None:
    context, previews = RunContext(1, tmp_path), Previews()
    ProgressReporter(context, "drawing").step_callback("drawing")(step(1, previews))
    assert context.take_preview() is not None


def test_a_stopped_job_and_a_canceled_picture_still_end_in_a_preview(tmp_path: Path) -> None:
    context = RunContext(1, tmp_path)
    on_step = ProgressReporter(context, "drawing").step_callback("drawing")
    with pytest.raises(SessionCanceled):
        on_step(step(1, Previews(SessionCanceled())))
    context.stop(StopReason.CANCELED)
    with pytest.raises(Stopped):
        on_step(step(2, Previews()))
