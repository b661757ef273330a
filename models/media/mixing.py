"""Mix background music under a narration: loop, fade and duck it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.media.sound import SAMPLE_RATE, Sound, resample
from models.speech.audio import MAX_PEAK, TARGET_LOUDNESS

Samples = NDArray[np.float32]  # (n,) or (n, 2), -1..1

_BLOCK = 480  # samples: 10 ms, in which the voice is either there or not
_SPEECH_LEVEL = 10 ** (-40 / 20)  # of full scale; narrations lie around -20 dB
_MIN_LEVEL = 1e-6
_LOOP_SECONDS = 2.0  # the crossfade between two rounds, where the music is long enough


def mix_music(
    voice: Sound | None,
    music: Sound | None,
    seconds: float,
    *,
    music_level: float = 0.35,
    duck_db: float = -12.0,
    attack_s: float = 0.25,
    release_s: float = 0.8,
    fade_s: float = 1.5,
    on_progress: Callable[[], None] | None = None,
) -> Sound:
    """Mix ``voice`` and ``music`` into a stereo track at 48 kHz that lasts exactly ``seconds``.

    The result is a :class:`Sound` with float32 samples of shape (n, 2) in -1..1. The function
    brings the music to the loudness of the narration and multiplies it by ``music_level`` (0 to 1).
    Ducking lowers the music by ``duck_db`` (negative decibels): the gain falls over ``attack_s``
    seconds before the voice begins and recovers over ``release_s`` seconds after it ends. The music
    fades in and out over ``fade_s`` seconds. If the sum would clip, one factor lowers the whole
    mix. The function calls ``on_progress`` between its steps; it may raise to stop the mix.
    """

    report = on_progress or _nothing
    length = round(seconds * SAMPLE_RATE)
    whole: Samples = np.zeros((length, 2), dtype=np.float32)
    spoken = np.zeros(length, dtype=np.float32)
    if voice is not None:
        channels = _as_stereo(voice)[:length]
        report()
        whole[: len(channels)] = channels
        spoken[: len(channels)] = np.abs(channels).max(axis=1)
    if music is not None and music_level > 0 and length:
        bed = _loop(_as_stereo(music), length)
        report()
        bed *= music_level * _to_loudness(bed)
        bed *= _ducking_gain(spoken, duck_db, attack_s, release_s)[:, None]
        report()
        fade = min(round(fade_s * SAMPLE_RATE), length // 2)
        if fade:
            ramp = np.linspace(0, 1, fade, dtype=np.float32)[:, None]
            bed[:fade] *= ramp
            bed[-fade:] *= ramp[::-1]
        whole += bed
    peak = float(np.abs(whole).max(initial=0.0))
    if peak > MAX_PEAK:
        whole *= MAX_PEAK / peak
    return Sound(whole, SAMPLE_RATE)


def _nothing() -> None:
    pass


def _as_stereo(sound: Sound) -> Samples:
    """Resample ``sound`` to 48 kHz and return float32 of shape (n, 2)."""

    samples = resample(sound, SAMPLE_RATE).samples.reshape(-1, sound.channels)
    return np.repeat(samples, 2, axis=1) if sound.channels == 1 else samples


def _loop(music: Samples, length: int) -> Samples:
    """Repeat ``music``, float32 (n, 2), up to ``length`` samples with equal-power crossfades."""

    if len(music) >= length:
        return music[:length].copy()
    overlap = min(round(_LOOP_SECONDS * SAMPLE_RATE), len(music) // 4)
    step = len(music) - overlap
    out = np.zeros((length, 2), dtype=np.float32)
    angle = np.linspace(0, np.pi / 2, overlap, dtype=np.float32)[:, None]
    for start in range(0, length, max(step, 1)):
        turn = music.copy()
        if overlap and start:
            turn[:overlap] *= np.sin(angle)
        if overlap and start + step < length:
            turn[-overlap:] *= np.cos(angle)
        room = out[start : start + len(turn)]
        room += turn[: len(room)]
    return out


def _to_loudness(music: Samples) -> float:
    """Return the gain that brings ``music`` to the target loudness; 0 for silence."""

    rms = float(np.sqrt(np.mean(np.square(music, dtype=np.float64))))
    return TARGET_LOUDNESS / rms if rms > _MIN_LEVEL else 0.0


def _ducking_gain(spoken: Samples, duck_db: float, attack_s: float, release_s: float) -> Any:
    """Return the music's linear gain for each sample: float32 of shape (n,), 0..1."""

    blocks = -(-len(spoken) // _BLOCK)
    level = np.pad(spoken, (0, blocks * _BLOCK - len(spoken))).reshape(blocks, _BLOCK).max(axis=1)
    attack, release = (max(1, round(s * SAMPLE_RATE / _BLOCK)) for s in (attack_s, release_s))
    # In dB, straight lines: down to be there when the voice begins, up again after its end.
    gain = np.where(level > _SPEECH_LEVEL, duck_db, 0.0)
    down, up = -duck_db / attack, -duck_db / release
    for block in range(1, blocks):
        gain[block] = min(gain[block], gain[block - 1] + up)
    for block in range(blocks - 2, -1, -1):
        gain[block] = min(gain[block], gain[block + 1] + down)
    at = np.arange(len(spoken)) / _BLOCK
    decibels = np.interp(at, np.arange(blocks) + 0.5, gain)
    return (10 ** (decibels / 20)).astype(np.float32)
