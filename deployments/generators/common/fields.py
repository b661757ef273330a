"""The request fields that several generators have, each with its bounds, written once.

A field whose words are the same everywhere is a function that makes it; for the others there is
the type, and the generator says in its own words what the field does there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from models.text.languages import (
    SPOKEN,
    Detected,
    LanguageUnclear,
    ScriptMismatch,
    check_script,
    detect_language,
    is_same_language,
    primary,
)
from models.text.voices import KOKORO_VOICES

Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
NegativePrompt = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]
Steps = Annotated[int, Field(ge=1, le=100)]
Guidance = Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""From none of it, 0, to all of it, 1."""
Strength = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""How much of a picture is drawn anew."""
Redraws = Annotated[int, Field(ge=0, le=3)]
Language = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", max_length=30)
]
"""A BCP 47 tag."""
Voice = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Speed = Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False)]
Fps = Annotated[int, Field(ge=8, le=60)]
FilmAspect = Literal["16:9", "9:16", "1:1"]
Resolution = Literal["360p", "480p", "720p", "1080p"]
"""Of a film: pixels along its shorter side."""

DEFAULT_REDRAWS = 2


class Part(BaseModel):
    """Base of what stands inside a request: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def seed_field(result: str) -> Any:
    """The ``seed`` of a generator that makes a ``result``, such as ``picture``."""
    return Field(
        default=None,
        description=f"The same seed, input and model give the same {result}. Random if left out.",
        examples=[7],
    )


def steps_field(
    description: str = "Denoising steps: more are slower and, up to a point, better.",
) -> Any:
    return Field(default=None, description=description, examples=[12])


def guidance_field(followed: str) -> Any:
    """``guidance`` of a generator whose model follows ``prompt is`` or ``words are``."""
    return Field(
        default=None,
        description=f"How closely the {followed} followed; 1 and below switch guidance off.",
        examples=[3.0],
    )


def redraws_field() -> Any:
    return Field(
        default=DEFAULT_REDRAWS,
        description="How often a picture may be drawn again; the most alike is kept.",
        examples=[2],
    )


def voice_field(example: str) -> Any:
    return Field(
        default=None,
        description="A voice's name, such as bf_emma; by default the usual one of the language"
        " (docs/models.md lists them). eSpeak's take a timbre: en-us+f3.",
        examples=[example],
    )


def speed_field() -> Any:
    return Field(
        default=None, description="How fast the voice speaks; by default 1.", examples=[1.0]
    )


def resolution_field(default: Resolution, example: Resolution) -> Any:
    """``resolution`` of a generator that takes ``default`` where a request names none."""
    return Field(
        default=None,
        description=f"Pixels along the shorter side; by default {default}.",
        examples=[example],
    )


def fps_field(default: int) -> Any:
    """``fps`` of a generator that takes ``default`` where a request names none."""
    return Field(default=None, description=f"Frames a second; by default {default}.", examples=[24])


def conflict(words: str) -> PydanticCustomError:
    """What to raise in a validator for fields that do not go together."""
    return PydanticCustomError("conflicting_fields", "{words}", {"words": words})


def spoken_language(text: str, language: str | None) -> Detected:
    """The language that ``text`` is spoken in: ``language`` where it is given, else the text's.

    Raises:
        LanguageUnclear: it cannot be told, or no voice speaks it.
    """
    return Detected(language, 1.0) if language is not None else detect_language(text)


def check_speech(text: str, language: str | None, voice: str | None) -> None:
    """Refuse what no voice can read, in a validator of a whole request.

    Raises:
        ValidationError: at ``language``, that it is unclear, not spoken, or not the text's; at
            ``voice``, that it speaks another one.
    """
    try:
        spoken = spoken_language(text, language).language
        if primary(spoken) not in SPOKEN:
            raise LanguageUnclear(f"No installed voice speaks {spoken!r}")
        check_script(text, spoken)
    except (LanguageUnclear, ScriptMismatch) as error:
        raise _speech_error("language", f"{error}.") from error
    name = (voice or "").lower().partition("+")[0]
    # Names of other voices are the profile's: the job looks them up.
    its = KOKORO_VOICES.get(name, name if "_" not in name else spoken)
    if primary(its) in SPOKEN and not is_same_language(its, spoken):
        raise _speech_error("voice", f"The voice {voice!r} does not speak {spoken!r}.")


def error_at(loc: tuple[str | int, ...], error: PydanticCustomError) -> ValidationError:
    """Return ``error`` as that of one field, for a validator that looks at several."""
    line = InitErrorDetails(type=error, loc=loc, input=None)
    return ValidationError.from_exception_data("Request", [line])


def _speech_error(field: str, message: str) -> ValidationError:
    kind = PydanticCustomError("unreadable_speech", "{reason}", {"reason": message})
    return error_at((field,), kind)
