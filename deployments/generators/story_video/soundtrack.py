"""What is heard: the narration of every scene, and music under it."""

from __future__ import annotations

from collections.abc import Callable

from deployments.contract import BadInput, Context
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.scene_film.narration import speak
from deployments.generators.story_video.models import StoryModels, derive_seed
from deployments.generators.story_video.settings import StorySettings
from deployments.generators.story_video.spec import MAX_SECONDS, MIN_SCENE_SECONDS, Music
from deployments.generators.story_video.storyboard import Scene, Storyboard
from models.media.camera.transitions import ENDING_SECONDS, TRANSITION_SECONDS
from models.media.mixing import mix_music
from models.media.sound import Sound, read_sound
from models.media.timeline import LEAD_SECONDS, TAIL_SECONDS, Timeline, TimelinePart, build_timeline
from models.speech.errors import NothingToSpeak
from models.speech.speech import Speech
from models.storyfilm.ambient_music import ambient_music


def narrate_scenes(
    board: Storyboard,
    settings: StorySettings,
    means: StoryModels,
    on_sentence: Callable[[float], None],
) -> list[Speech | None]:
    """Every scene's narration; ``None`` where there is nothing to say.

    ``on_sentence`` is given the share that is done, and may raise.

    Raises:
        SpeechError: no voice can say it.
        BadInput: it takes too long.
    """
    said: list[Speech | None] = []
    for number, scene in enumerate(board.scenes):
        begun = number / len(board.scenes)
        on_sentence(begun)
        said.append(_speak_scene(scene, settings, means, lambda begun=begun: on_sentence(begun)))  # type: ignore[misc]
        _check_length(sum(speech.duration for speech in said if speech is not None))
    return said


def _speak_scene(
    scene: Scene, settings: StorySettings, means: StoryModels, told: Callable[[], None]
) -> Speech | None:
    try:
        return speak(means.inference, scene.narration, settings, told)
    except NothingToSpeak:
        return None


def plan_timeline(
    board: Storyboard, speeches: list[Speech | None], settings: StorySettings
) -> Timeline:
    """The film's time. A narration begins when its scene has taken over from the one before.

    Raises:
        BadInput: the film would be too long.
    """
    last = len(board.scenes) - 1
    parts = [
        TimelinePart(
            scene.title,
            speech,
            max(scene.seconds or 0.0, MIN_SCENE_SECONDS),
            lead_s=TRANSITION_SECONDS[scene.transition] + LEAD_SECONDS,
            tail_s=TAIL_SECONDS + (ENDING_SECONDS if number == last else 0.0),
        )
        for number, (scene, speech) in enumerate(zip(board.scenes, speeches, strict=True))
    ]
    plan = build_timeline(parts, settings.fps)
    _check_length(plan.seconds)
    return plan


def _check_length(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise BadInput(
            f"The film would be more than {seconds / 60:.1f} minutes long;"
            f" {MAX_SECONDS // 60} are possible: tell it in two films.",
            code="too_long",
        )


def read_music(music: Music | None, context: Context) -> Sound | None:
    """The sender's own music.

    Raises:
        BadInput: it cannot be read.
    """
    if music is None or music.audio is None:
        return None
    with translate_model_errors("music.audio"):
        return read_sound(context.inputs["music.audio"])


def mix_soundtrack(
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
    bed = own or ambient_music(music.style or "calm", derive_seed(seed, "music"), told)
    return mix_music(voice, bed, plan.seconds, music_level=music.level, on_progress=told)
