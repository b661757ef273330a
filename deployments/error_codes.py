"""The codes of jobs that failed: what each one means, and whether the same input may work later.

``docs/api.md`` is written from this table (``python -m scripts.error_codes --write``); a test
finds a code that the worker or a generator uses and that is missing here, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobErrorCode:
    """One ``error.code`` of a failed job; ``retryable`` if the same input may work another time."""

    code: str
    when: str
    retryable: bool = False


JOB_ERROR_CODES = (
    JobErrorCode("bad_input", "the generator cannot use the input; `detail` says why"),
    JobErrorCode("input_missing", "a file that the input names was deleted"),
    JobErrorCode("input_unreachable", "an address in the input did not give a file"),
    JobErrorCode("input_too_large", "a file of the input is larger than allowed"),
    JobErrorCode("job_missing", "an earlier job that the input names has no outputs, or lost one"),
    JobErrorCode("unreadable_data", "a data URI of the input is malformed"),
    JobErrorCode("unreadable_image", "a picture cannot be decoded, or is too large to decode"),
    JobErrorCode("unreadable_audio", "a sound cannot be decoded, or is too large to decode"),
    JobErrorCode("invalid_images", "the pictures of the input do not fit each other"),
    JobErrorCode("no_person", "the photo shows no person"),
    JobErrorCode("no_face", "the photo shows no face"),
    JobErrorCode("several_people", "the photo shows more than one person"),
    JobErrorCode("too_small", "the photo, or the person on it, is too small"),
    JobErrorCode("garment_not_found", "the photo does not show the garment"),
    JobErrorCode("mask_empty", "the mask marks nothing to paint"),
    JobErrorCode("nothing_found", "the photo shows no single object to make a mesh of"),
    JobErrorCode("no_shape", "the outline of the object gives no mesh"),
    JobErrorCode("persona_missing", "a persona that the input names, or its picture, was deleted"),
    JobErrorCode("persona_not_named", "the story does not name a character that has a persona"),
    JobErrorCode("reference_missing", "a character has no picture to draw it from"),
    JobErrorCode("size_not_supported", "the installed model cannot make this size"),
    JobErrorCode("scheduler_not_supported", "the installed model does not have this scheduler"),
    JobErrorCode("upscale_not_supported", "the installed model cannot enlarge by this factor"),
    JobErrorCode("control_not_supported", "the installed model cannot follow this control"),
    JobErrorCode("unknown_lora", "the LoRA is not installed"),
    JobErrorCode("content_blocked", "the model's safety checker blanked the picture"),
    JobErrorCode("capability_missing", "no installed model can do this; `detail` says which"),
    JobErrorCode("needs_language_model", "a bare topic needs a profile with a language model"),
    JobErrorCode("cannot_be_written", "the language model wrote no script that can be used"),
    JobErrorCode("not_a_lesson", "the earlier job is no lesson"),
    JobErrorCode("not_a_story", "the earlier job is no story"),
    JobErrorCode("no_such_scene", "the film has no scene of this number"),
    JobErrorCode("does_not_fit_earlier", "the request differs from the earlier job in what stays"),
    JobErrorCode("too_long", "the film would be longer than allowed"),
    JobErrorCode("unsupported_language", "no installed voice speaks the language"),
    JobErrorCode("unknown_voice", "the voice is not installed"),
    JobErrorCode("speech_unavailable", "no voice is installed"),
    JobErrorCode("cannot_be_spoken", "the narration holds nothing that can be spoken"),
    JobErrorCode("no_font", "the text uses a script for which no font is installed"),
    JobErrorCode("cannot_be_drawn", "a scene does not fit its frame"),
    JobErrorCode("out_of_memory", "the memory does not suffice, even with the slowest plan"),
    JobErrorCode("models_busy", "other jobs use all the memory for models", retryable=True),
    JobErrorCode("generator_error", "the generator failed; our fault", retryable=True),
    JobErrorCode("time_limit_exceeded", "the job ran longer than allowed", retryable=True),
    JobErrorCode("worker_lost", "three machines that ran the job were lost", retryable=True),
    JobErrorCode("quarantined", "the job twice ended the process that ran it", retryable=True),
    JobErrorCode("expired", "the job waited longer than its priority allows", retryable=True),
)
