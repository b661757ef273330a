"""What the models raise, as the failure that a job's owner reads: the same in every generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.contract import BadInput, Unavailable
from models.diffusion.loras import LoraNotAllowed
from models.diffusion.requests import (
    InvalidImages,
    PicturesBlocked,
    SchedulerNotSupported,
    SizeNotSupported,
)
from models.media.images import UnreadableImage
from models.media.sound import UnreadableSound
from models.memory.errors import AllModelsInUse, ModelDoesNotFit, OutOfMemory
from models.mesh.errors import MeshError
from models.profiles.load import CapabilityMissing
from models.speech.errors import (
    SpeechError,
    SpeechUnavailable,
    UnknownVoice,
    UnsupportedLanguage,
)
from models.typesetting.typeset import TypesetterMissing
from models.vision.cutout import NoSubjectFound
from models.vision.garments import GarmentNotFound
from models.vision.upscale_limits import UpscaleNotSupported
from models.weights.licenses import NonCommercialWeights

# A subclass stands before its base.
_BAD_INPUT_CODES: dict[type[Exception], str] = {
    SizeNotSupported: "size_not_supported",
    SchedulerNotSupported: "scheduler_not_supported",
    UpscaleNotSupported: "upscale_not_supported",
    LoraNotAllowed: "unknown_lora",
    InvalidImages: "invalid_images",
    PicturesBlocked: "content_blocked",
    UnreadableImage: "unreadable_image",
    UnreadableSound: "unreadable_audio",
    NoSubjectFound: "nothing_found",
    GarmentNotFound: "garment_not_found",
    MeshError: "no_shape",
    UnsupportedLanguage: "unsupported_language",
    UnknownVoice: "unknown_voice",
    SpeechError: "cannot_be_spoken",
    SpeechUnavailable: "speech_unavailable",
    CapabilityMissing: "capability_missing",
    NonCommercialWeights: "capability_missing",
    TypesetterMissing: "capability_missing",
    OutOfMemory: "out_of_memory",
    ModelDoesNotFit: "out_of_memory",
}
_UNAVAILABLE_CODES: dict[type[Exception], str] = {AllModelsInUse: "models_busy"}


@contextmanager
def translate_model_errors(place: str = "") -> Iterator[None]:
    """Turns a model's error into the failure of the job; other errors pass.

    Serves as a decorator of ``generate``, and in a ``with`` around one part of the input, which
    ``place`` names: it begins the sentence that the owner reads.

    Raises:
        BadInput: the models cannot serve the request, now or later.
        Unavailable: they can once other jobs are done.
    """
    try:
        yield
    except tuple(_BAD_INPUT_CODES) as error:
        raise BadInput(_sentence(error, place), _code_of(error, _BAD_INPUT_CODES)) from error
    except tuple(_UNAVAILABLE_CODES) as error:
        raise Unavailable(_sentence(error, place), _code_of(error, _UNAVAILABLE_CODES)) from error


def _code_of(error: Exception, codes: dict[type[Exception], str]) -> str:
    return next(code for kind, code in codes.items() if isinstance(error, kind))


def _sentence(error: Exception, place: str) -> str:
    # str() of a LookupError puts its message into quotes.
    words = str(error).strip("'\"").rstrip(".")
    return f"{place}: {words}." if place else words[:1].upper() + words[1:] + "."
