"""Why a text is not spoken."""

from __future__ import annotations


class SpeechError(ValueError):
    """The request cannot be spoken."""


class NothingToSpeak(SpeechError):
    """The text has no letter and no digit."""


class TextTooLong(SpeechError):
    """The text exceeds the limit for one narration."""


class UnsupportedLanguage(SpeechError):
    """No voice supports the language."""


class UnknownVoice(SpeechError):
    """No voice has the name, or the named voice does not support the language."""


class SpeechUnavailable(RuntimeError):
    """This machine has neither a neural voice nor eSpeak NG."""
