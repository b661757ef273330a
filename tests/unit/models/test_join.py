"""Clips become a film without being encoded again."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from models.media.encoding.base import Chapter, EmptyFilm, FilmLabel, FilmSpec
from models.media.encoding.concat import IncompatibleClips, concat_clips
from models.media.encoding.open import open_film
from models.media.encoding.threads import encode_in_thread
from models.media.probe import probe, read_frames
from models.media.sound import Sound
from models.media.subtitles import Cue
from tests.support.readers import cues_of_film

LABEL = FilmLabel("A film", "nobody")


def clip(
    path: Path, frames: int, shade: int, fps: int = 24, size: int = 128, crf: int = 20
) -> Path:
    """A bar that moves, so that the encoder reorders frames."""
    with open_film(path, FilmSpec(fps, LABEL, crf=crf)) as film:
        for number in range(frames):
            picture = np.full((size, 192, 3), shade, np.uint8)
            picture[20:60, number * 3 % 150 : number * 3 % 150 + 30] = 255
            film.write(picture)
    return path


def clips(folder: Path) -> list[Path]:
    lengths = (1, 2, 3, 70, 5, 61)
    return [clip(folder / f"{i}.mp4", n, 30 * i) for i, n in enumerate(lengths)]


def packets(path: Path) -> list[tuple[bytes, int, int]]:
    """Content and times, in frames, of the picture's packets."""
    with av.open(path) as film:
        stream = film.streams.video[0]
        return [
            (bytes(p), round(p.pts * p.time_base * 24), round(p.dts * p.time_base * 24))
            for p in film.demux(stream)
            if p.size and p.pts is not None and p.dts is not None and p.time_base is not None
        ]


def test_the_film_shows_the_clips_frames_and_holds_their_packets(tmp_path: Path) -> None:
    made = clips(tmp_path)
    film = tmp_path / "film.mp4"
    seconds = 142 / 24
    tone = (np.sin(np.arange(round(seconds * 22_050)) * 0.05) * 0.3).astype(np.float32)
    cues = (Cue(0.5, 1, "one"), Cue(3, 4, "two"))
    chapters = (Chapter("a", 0, 2), Chapter("b", 2, seconds))
    sound = Sound(tone, 22_050)
    concat_clips(film, made, FilmSpec(24, LABEL, sound=sound, subtitles=cues, chapters=chapters))
    found = probe(film)
    assert (found.frames, found.video_codec, found.audio_codec) == (142, "h264", "aac")
    assert found.duration == pytest.approx(seconds, abs=1 / 24)
    assert found.audio_duration == pytest.approx(seconds, abs=0.03)
    assert [c.title for c in found.chapters] == ["a", "b"]
    assert cues_of_film(film) == list(cues)
    inside = packets(film)
    assert [content for content, _, _ in inside] == [p[0] for c in made for p in packets(c)]
    assert sorted(pts for _, pts, _ in inside) == list(range(142))
    assert all(before[2] < after[2] for before, after in pairwise(inside))
    assert all(pts >= dts for _, pts, dts in inside)
    wanted = [frame for part in made for frame in read_frames(part)]
    for number, (frame, want) in enumerate(zip(read_frames(film), wanted, strict=True)):
        assert np.array_equal(frame, want), number
    content = film.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert LABEL.xmp() in content


def test_clips_that_do_not_fit_are_named_and_leave_no_film(tmp_path: Path) -> None:
    good = clip(tmp_path / "good.mp4", 5, 0)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(good.read_bytes()[:600])
    odd = [
        clip(tmp_path / "rate.mp4", 5, 0, fps=12),
        clip(tmp_path / "size.mp4", 5, 0, size=64),
        clip(tmp_path / "settings.mp4", 5, 0, crf=40),
        broken,
    ]
    for other in odd:
        with pytest.raises(IncompatibleClips, match=other.name):
            concat_clips(tmp_path / "film.mp4", [good, other], FilmSpec(24, LABEL))
    with pytest.raises(EmptyFilm):
        concat_clips(tmp_path / "film.mp4", [], FilmSpec(24, LABEL))
    assert not list(tmp_path.glob("*film*")) + list(tmp_path.glob(".*"))


def test_a_stop_while_joining_leaves_nothing(tmp_path: Path) -> None:
    made = clips(tmp_path)

    def stop(done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        concat_clips(tmp_path / "film.mp4", made, FilmSpec(24, LABEL), stop)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in made}


def test_frames_arrive_in_order_and_whoever_fails_ends_both(tmp_path: Path) -> None:
    pictures = [np.full((64, 64, 3), 2 * shade, np.uint8) for shade in range(100)]
    told: list[int] = []
    with open_film(tmp_path / "a.mp4", FilmSpec(24, LABEL, crf=10)) as film:
        encode_in_thread(iter(pictures), film, lambda number, frame: told.append(number))
    assert told == list(range(100))
    shades = [int(frame.mean()) for frame in read_frames(tmp_path / "a.mp4")]
    assert shades == pytest.approx([2 * shade for shade in range(100)], abs=3)

    def stop(number: int, frame: object) -> None:
        if number == 20:
            raise InterruptedError

    with (
        pytest.raises(InterruptedError),
        open_film(tmp_path / "b.mp4", FilmSpec(24, LABEL)) as film,
    ):
        encode_in_thread(iter(pictures), film, stop)
    wrong = [pictures[0], np.zeros((32, 32, 3), np.uint8), *pictures]
    with (
        pytest.raises(ValueError, match="32x32"),
        open_film(tmp_path / "c.mp4", FilmSpec(24, LABEL)) as film,
    ):
        encode_in_thread(iter(wrong), film)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
