"""Previews of pictures that are drawn: a courtesy that never ends the request."""

import logging

import pytest
from PIL import Image

from models.diffusion.batching import SessionCanceled
from models.diffusion.requests import DenoisingStep
from models.inference.local import PREVIEW_INTERVAL_S, Previews


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Decoder:
    """Counts how often it is asked; raises ``error`` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self._error = 0, error

    def __call__(self) -> Image.Image:
        self.asked += 1
        if self._error is not None:
            raise self._error
        return Image.new("RGB", (4, 4))


def step(decoder: Decoder) -> DenoisingStep:
    return DenoisingStep(0, 1, 4, decoder)


def test_a_preview_that_raises_is_logged_once_and_the_request_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, broken = Clock(), Decoder(AttributeError("no scaling_factor"))
    previews = Previews(lambda: True, clock)
    with caplog.at_level(logging.WARNING):
        for second in range(1, 5):
            clock.now = second * PREVIEW_INTERVAL_S
            assert previews.next(step(broken)) is None
    assert [record.message for record in caplog.records] == ["preview_failed"]
    assert broken.asked == 1, "what failed is not tried again"


def test_a_second_passes_between_two_previews() -> None:
    clock, decoder = Clock(), Decoder()
    previews = Previews(lambda: True, clock)
    shown = []
    for clock.now in (0.5, 1.0, 1.5, 2.0, 2.5):
        shown.append(previews.next(step(decoder)) is not None)
    assert shown == [False, True, False, True, False]
    assert decoder.asked == 2


def test_a_canceled_request_still_ends_in_a_preview() -> None:
    clock = Clock()
    previews = Previews(lambda: True, clock)
    clock.now = 1.0
    with pytest.raises(SessionCanceled):
        previews.next(step(Decoder(SessionCanceled())))


def test_nothing_is_decoded_while_nobody_watches_and_the_first_preview_comes_at_once() -> None:
    clock, decoder, watched = Clock(), Decoder(), False
    previews = Previews(lambda: watched, clock)
    for clock.now in (1.0, 2.0, 3.0):
        assert previews.next(step(decoder)) is None
    assert decoder.asked == 0
    watched = True
    clock.now = 3.1
    assert previews.next(step(decoder)) is not None
