"""The short film of a set: narration first, since it says how long the film is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.sizes import film_size
from deployments.generators.influencer.spec import Clip
from models.inference.inference import Inference
from models.inference.operations import Speak
from models.media.camera.ken_burns import SlideshowSpec, slideshow_frames
from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film
from models.media.languages import iso639_2_code
from models.media.subtitles import Cue
from models.media.timeline import TimelinePart, build_timeline
from models.speech.speech import Speech, SpeechRequest

FPS = 24
FRAMES_PER_REPORT = 6

ProgressCallback = Callable[[float], None]  # how much is done, 0..1; may raise to stop


@dataclass(frozen=True)
class ClipFile:
    """A film that was written; ``cues`` are its narration, whether it shows them or not."""

    path: Path
    width: int
    height: int
    seconds: float
    cues: tuple[Cue, ...]


def speak(clip: Clip, inference: Inference, report: ProgressCallback) -> Speech | None:
    """The clip's narration, ``None`` if it has none.

    Raises:
        JobFailure: it cannot be spoken.
    """
    if clip.narration is None:
        return None
    asked = SpeechRequest(clip.narration, clip.language, clip.voice)
    with translate_model_errors("clip.narration"):
        return inference.run(Speak(asked), lambda event: report(event.done / event.total))


def write_clip(
    path: Path,
    clip: Clip,
    pictures: Sequence[Image],
    speech: Speech | None,
    model: str,
    report: ProgressCallback,
) -> ClipFile:
    """Write the film; what ``report`` raises leaves nothing behind."""
    shorter = min(min(picture.size) for picture in pictures)
    width, height = film_size(clip.aspect, shorter)
    least = clip.seconds_per_image * len(pictures)
    line = build_timeline([TimelinePart("", speech, least)], FPS)
    cues = line.cues()
    spec = FilmSpec(
        fps=FPS,
        label=FilmLabel("A set of pictures", model),
        sound=line.sound(),
        subtitles=cues if clip.subtitles else (),
        language=iso639_2_code(clip.language),
    )
    frames = slideshow_frames(pictures, SlideshowSpec(width, height, FPS, line.frames))
    with open_film(path, spec) as film:
        for number, frame in enumerate(frames):
            if number % FRAMES_PER_REPORT == 0:
                report(number / line.frames)
            film.write(frame)
        report(1.0)
    return ClipFile(path, width, height, line.seconds, cues)
