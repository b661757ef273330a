"""The voice of a film."""

from __future__ import annotations

from collections.abc import Callable

from deployments.generators.scene_film.settings import FilmSettings
from models.inference.inference import Inference
from models.inference.operations import Speak
from models.speech.speech import Speech, SpeechRequest


def speak(
    inference: Inference, text: str, settings: FilmSettings, on_sentence: Callable[[], None]
) -> Speech:
    """``text`` in the film's voice; ``on_sentence`` is called after each sentence and may raise.

    Raises:
        SpeechError: no voice can say it.
    """
    wanted = SpeechRequest(text, settings.language, settings.voice, rate=settings.speed)
    return inference.run(Speak(wanted), lambda event: on_sentence())
