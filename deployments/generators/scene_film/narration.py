"""The voice of a film."""

from __future__ import annotations

from collections.abc import Callable

from deployments.generators.scene_film.settings import FilmSettings
from models.speech.narrator import Narrator, Speech, SpeechRequest


def speak(
    narrator: Narrator, text: str, settings: FilmSettings, on_sentence: Callable[[], None]
) -> Speech:
    """``text`` in the film's voice; ``on_sentence`` is called after each sentence and may raise.

    Raises:
        SpeechError: no voice can say it.
    """
    wanted = SpeechRequest(text, settings.language, settings.voice, rate=settings.speed)
    return narrator.speak(wanted, lambda done, total: on_sentence())
