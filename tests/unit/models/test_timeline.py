"""Where the parts of a film lie, and what is heard there."""

from pathlib import Path

import numpy as np
import pytest

from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film
from models.media.mixing import mix_music
from models.media.sound import Sound, UnreadableSound, read_sound, resample
from models.media.timeline import TimelinePart, build_timeline, concat_speeches
from models.speech.audio import MAX_PEAK
from models.speech.speech import Speech, Word

RATE = 22_050


def speech(seconds: float, text: str = "one two three", rate: int = RATE) -> Speech:
    """A steady tone, whose words share its time."""
    samples = (np.sin(np.arange(round(seconds * rate)) * 0.1) * 0.3).astype(np.float32)
    said = text.split()
    step = seconds / len(said)
    words = tuple(Word(word, i * step, (i + 1) * step) for i, word in enumerate(said))
    return Speech(samples, rate, words, "espeak-ng", "en", "exact")


def level(sound: Sound, start: float, end: float) -> float:
    """Root mean square between two moments."""
    part = sound.samples[round(start * sound.sample_rate) : round(end * sound.sample_rate)]
    return float(np.sqrt(np.mean(np.square(part, dtype=np.float64))))


def tone(seconds: float, height: float, rate: int = 48_000) -> Sound:
    return Sound(
        (np.sin(np.arange(round(seconds * rate)) * 0.05) * height).astype(np.float32), rate
    )


def test_parts_take_whole_frames_and_as_long_as_their_words() -> None:
    plan = build_timeline(
        [
            TimelinePart("a", speech(1.03)),
            TimelinePart("b", None, 2.0),
            TimelinePart("c", speech(1), 0.1),
        ],
        24,
    )
    assert [placed.frames for placed in plan.parts] == [49, 48, 48]  # 2.03, 2 and 2 s
    assert [placed.first_frame for placed in plan.parts] == [0, 49, 97]
    assert plan.seconds == pytest.approx(145 / 24)


def test_subtitles_lie_in_their_part_and_the_voice_between_its_pauses() -> None:
    plan = build_timeline(
        [
            TimelinePart("a", speech(1)),
            TimelinePart("b", None, 2),
            TimelinePart("c", speech(3), lead_s=1),
        ],
        25,
    )
    first, _, last = plan.parts
    cues = plan.cues()
    assert [cue.text for cue in cues] == ["one two three"] * 2
    assert first.start + 0.4 == pytest.approx(cues[0].start)
    assert last.start + 1 == pytest.approx(cues[1].start)
    assert cues[0].end <= first.end and cues[1].end <= last.end
    sound = plan.sound()
    assert sound is not None
    assert sound.duration == pytest.approx(plan.seconds, abs=1 / RATE)
    for quiet in ((0, 0.39), (1.41, last.start + 0.99), (last.start + 4.01, plan.seconds)):
        assert level(sound, *quiet) == 0
    assert level(sound, 0.4, 1.4) > 0.2 < level(sound, last.start + 1, last.start + 4)


def test_narrations_of_different_rates_come_together_without_shifting() -> None:
    plan = build_timeline(
        [TimelinePart("a", speech(1)), TimelinePart("b", speech(1, rate=24_000))], 24
    )
    sound = plan.sound()
    assert sound is not None and sound.sample_rate == 48_000
    start = plan.parts[1].start + 0.4
    assert level(sound, start - 0.1, start - 0.01) < 0.001 < 0.2 < level(sound, start, start + 1)


def test_chapters_cover_the_film_and_a_part_without_title_joins_the_one_before() -> None:
    plan = build_timeline(
        [
            TimelinePart("", None, 1),
            TimelinePart("a", None, 1),
            TimelinePart("", None, 1),
            TimelinePart("b", None, 1),
        ],
        8,
    )
    found = [(c.title, c.start, c.end) for c in plan.chapters()]
    assert found == [("a", 0.0, 3.0), ("b", 3.0, 4.0)]


def test_speeches_in_turn_keep_their_words_apart() -> None:
    both = concat_speeches([speech(1, "what is it"), speech(0.5, "this")], 2)
    assert both.duration == pytest.approx(3.5, abs=0.001)
    assert both.words[-1].text == "this" and both.words[-1].start == pytest.approx(3, abs=0.001)


def test_resampling_keeps_length_and_pitch() -> None:
    there = resample(tone(2, 0.5), 22_050)
    assert len(there.samples) == 44_100
    crossings = np.count_nonzero(np.diff(np.signbit(there.samples)))
    assert crossings == pytest.approx(2 * 2 * 48_000 * 0.05 / (2 * np.pi), rel=0.01)


def test_music_goes_down_before_the_voice_and_comes_back_after_it() -> None:
    voice = np.zeros(48_000 * 12, np.float32)
    voice[48_000 * 5 : 48_000 * 7] = 0.2
    quiet = mix_music(None, tone(3, 0.9), 12, music_level=0.5)
    ducked = mix_music(Sound(voice, 48_000), tone(3, 0.9), 12, music_level=0.5, duck_db=-12)
    gain = [
        level(Sound(ducked.samples - added, 48_000), t, t + 0.1) / level(quiet, t, t + 0.1)
        for t, added in ((3.0, 0), (5.0, 0.2), (6.8, 0.2), (9.0, 0))
    ]
    assert gain == pytest.approx([1, 0.25, 0.25, 1], rel=0.05)
    assert 0.3 < level(ducked, 4.8, 4.85) / level(quiet, 4.8, 4.85) < 0.9
    assert len(ducked.samples) == 12 * 48_000 and ducked.channels == 2
    assert level(ducked, 0, 0.1) < 0.2 * level(ducked, 2, 3) > 5 * 0.2 * level(ducked, 11.95, 12)


def test_a_loop_has_no_gap_and_no_click() -> None:
    mix = mix_music(None, tone(5, 0.3), 30, fade_s=0.5)
    levels = [level(mix, t, t + 0.25) for t in np.arange(1, 29, 0.25)]
    assert min(levels) > 0.4 * max(levels)
    assert np.abs(np.diff(mix.samples[:, 0])).max() < 0.05


def test_loud_on_loud_does_not_clip() -> None:
    mix = mix_music(tone(3, 0.95), tone(3, 1.0), 3, music_level=1, duck_db=0)
    assert float(np.abs(mix.samples).max()) <= MAX_PEAK + 1e-6


def test_a_users_sound_is_read_with_bounds(tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    with open_film(film, FilmSpec(8, FilmLabel("t", "m"), sound=tone(4, 0.5))) as writer:
        for _ in range(32):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    sound = read_sound(film)
    assert sound.channels == 1 and sound.sample_rate == 48_000
    assert sound.duration == pytest.approx(4, abs=0.05)
    assert level(sound, 1, 3) == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert read_sound(film, longest=1.5).duration == 1.5


def test_what_is_no_sound_is_refused_and_no_playlist_is_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"  # sound that somebody else put there
    with open_film(other, FilmSpec(8, FilmLabel("t", "m"), sound=tone(1, 0.5))) as writer:
        for _ in range(8):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    silent = tmp_path / "silent.mp4"
    with open_film(silent, FilmSpec(8, FilmLabel("t", "m"))) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    files = {
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "concat.txt": b"ffconcat version 1.0\nfile other.mp4\n",
        "empty.wav": b"",
        "words.mp3": b"these are words" * 100,
        "silent.mp4": silent.read_bytes(),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UnreadableSound) as refused:
            read_sound(path)
        assert str(tmp_path) not in str(refused.value), name


def test_letters_of_scripts_without_spaces_are_shown_without_any() -> None:
    said = speech(6, "光 合 作 用， 是 iPhone 12 的 词。")
    [cue] = build_timeline([TimelinePart("a", said)], 24).cues()
    assert " ".join(cue.text.split()) == "光合作用，是 iPhone 12 的词。"
