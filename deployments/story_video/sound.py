"""What is heard: the narration of every scene, and music under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deployments.contract import BadInput, Context
from deployments.story_video.means import Means, derived
from deployments.story_video.settings import FilmSettings
from deployments.story_video.spec import LEAST_SCENE_SECONDS, LONGEST_SECONDS, Music
from deployments.story_video.storyboard import Scene, Storyboard
from models.media.music import mixed
from models.media.sound_in import UnreadableSound, read_sound
from models.media.timeline import LEAD_SECONDS, TAIL_SECONDS, Part, Timeline, timeline
from models.speech import (
    NothingToSay,
    Speech,
    SpeechError,
    SpeechRequest,
    SpeechUnavailable,
    UnknownVoice,
    UnsupportedLanguage,
)
from models.story.music_bed import music_bed
from models.story.transitions import ENDING_SECONDS, SECONDS

if TYPE_CHECKING:
    from models.media.audio import Sound

_CODES = {UnsupportedLanguage: "unsupported_language", UnknownVoice: "unknown_voice"}


def narrated(
    board: Storyboard,
    settings: FilmSettings,
    means: Means,
    on_sentence: Callable[[float], None],
) -> list[Speech | None]:
    """Every scene's narration; ``None`` where there is nothing to say.

    ``on_sentence`` is given the share that is done, and may raise.

    Raises:
        BadInput: no voice can say it, or it takes too long.
    """
    said: list[Speech | None] = []
    for number, scene in enumerate(board.scenes):
        begun = number / len(board.scenes)
        on_sentence(begun)
        said.append(_spoken(scene, settings, means, lambda begun=begun: on_sentence(begun)))  # type: ignore[misc]
        _check_length(sum(speech.duration for speech in said if speech is not None))
    return said


def _spoken(
    scene: Scene, settings: FilmSettings, means: Means, told: Callable[[], None]
) -> Speech | None:
    wanted = SpeechRequest(scene.narration, settings.language, settings.voice, rate=settings.speed)
    try:
        return means.residency.run(
            means.narrator, lambda voice: voice.speak(wanted, lambda done, total: told())
        )
    except NothingToSay:
        return None
    except SpeechUnavailable as error:
        raise BadInput(f"{error}.", code="speech_unavailable") from error
    except SpeechError as error:
        raise BadInput(f"{error}.", code=_CODES.get(type(error), "cannot_be_spoken")) from error


def planned(board: Storyboard, speeches: list[Speech | None], settings: FilmSettings) -> Timeline:
    """The film's time. A narration begins when its scene has taken over from the one before.

    Raises:
        BadInput: the film would be too long.
    """
    last = len(board.scenes) - 1
    parts = [
        Part(
            scene.title,
            speech,
            max(scene.seconds or 0.0, LEAST_SCENE_SECONDS),
            lead_s=SECONDS[scene.transition] + LEAD_SECONDS,
            tail_s=TAIL_SECONDS + (ENDING_SECONDS if number == last else 0.0),
        )
        for number, (scene, speech) in enumerate(zip(board.scenes, speeches, strict=True))
    ]
    plan = timeline(parts, settings.fps)
    _check_length(plan.seconds)
    return plan


def _check_length(seconds: float) -> None:
    if seconds > LONGEST_SECONDS:
        raise BadInput(
            f"The film would be more than {seconds / 60:.1f} minutes long;"
            f" {LONGEST_SECONDS // 60} are possible: tell it in two films.",
            code="too_long",
        )


def given_music(music: Music | None, context: Context) -> Sound | None:
    """The sender's own music.

    Raises:
        BadInput: it cannot be read.
    """
    if music is None or music.audio is None:
        return None
    try:
        return read_sound(context.inputs["music.audio"])
    except UnreadableSound as error:
        raise BadInput(f"music.audio: {error}.", code="unreadable_audio") from error


def soundtrack(
    plan: Timeline,
    music: Music | None,
    own: Sound | None,
    seed: int,
    told: Callable[[], None],
) -> Sound | None:
    """The film's sound; ``None`` where nobody speaks and nothing plays."""
    voice = plan.sound()
    told()
    if music is None:
        return voice
    bed = own or music_bed(music.style or "calm", derived(seed, "music"), told)
    return mixed(voice, bed, plan.seconds, music_level=music.level, on_progress=told)
