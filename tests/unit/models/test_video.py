"""Films: what was drawn, said and written is what a player finds in the file."""

import gc
import io
import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from models.media.encoding.base import (
    Chapter,
    EmptyFilm,
    FilmClosed,
    FilmError,
    FilmLabel,
    FilmSpec,
    FrameMismatch,
    UnsupportedTrack,
)
from models.media.encoding.open import open_film
from models.media.png import AI_SOURCE_TYPE, ImageMetadata
from models.media.poster import encode_poster, read_frame_at
from models.media.probe import UnreadableVideo, probe, read_frames
from models.media.sound import InvalidSound, Sound
from models.media.subtitles import Cue
from tests.support.readers import cues_of_film, metadata_of_picture

LABEL = FilmLabel("Über <rain> & 雨", "atelier-tiny")
COLOURS = [(200, 30, 30), (30, 200, 30), (40, 60, 200)]
FPS = 12


def still(colour: tuple[int, int, int], width: int = 96, height: int = 64) -> np.ndarray:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:] = colour
    return frame


def tone(seconds: float, sample_rate: int = 22_050, channels: int = 1) -> Sound:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    return Sound(wave if channels == 1 else np.stack([wave] * channels, axis=1), sample_rate)


def write(path: Path, size: tuple[int, int] = (96, 64), **spec: object) -> Path:
    """Three seconds: red, green, blue, one second each."""
    with open_film(path, FilmSpec(fps=FPS, label=LABEL, **spec)) as film:  # type: ignore[arg-type]
        for colour in COLOURS:
            for _ in range(FPS):
                film.write(still(colour, *size))
    return path


def heard(path: Path) -> np.ndarray:
    """The sound as mono float32 at 48 kHz."""
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray() for frame in film.decode(audio=0)]
    return np.concatenate(frames, axis=1).mean(axis=0)


def loudness(samples: np.ndarray, start: float, end: float) -> float:
    return float(np.sqrt((samples[round(start * 48_000) : round(end * 48_000)] ** 2).mean()))


def gif_blocks(data: bytes) -> list[bytes]:
    """The application blocks, found as a reader finds them: from block to block to the trailer."""
    found, at = [], 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] != 0x3B:
        start, application = at + 3, data[at : at + 2] == b"\x21\xff"
        if data[at] == 0x2C:
            at += 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0) + 1
        else:
            at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
        if application:
            found.append(data[start:at])
    assert at == len(data) - 1
    return found


def assert_shows_the_colours(path: Path, tolerance: int) -> None:
    frames = list(read_frames(path))
    assert len(frames) == 3 * FPS
    for second, colour in enumerate(COLOURS):
        for frame in (frames[second * FPS], frames[second * FPS + FPS - 1]):
            assert np.abs(frame.astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "video", "audio"), [("a.mp4", "h264", "aac"), ("a.webm", "vp9", "opus")]
)
def test_a_film_holds_what_was_put_in(tmp_path: Path, name: str, video: str, audio: str) -> None:
    cues = (Cue(0.25, 1, "first\nwörd"), Cue(1, 1.5, "if a < b & c > d"), Cue(2, 9, "to the end"))
    path = write(
        tmp_path / name,
        sound=tone(3, channels=2),
        subtitles=(*cues, Cue(8, 9, "never")),
        chapters=(Chapter("Red & green", 0, 2), Chapter("Blue", 2, 99)),
        language="eng",
    )
    info = probe(path)
    assert (info.video_codec, info.audio_codec) == (video, audio)
    assert (info.width, info.height, info.fps) == (96, 64, FPS)
    assert (info.sample_rate, info.channels) == (48_000, 2)
    assert info.duration == pytest.approx(3, abs=0.02)
    assert info.chapters == (Chapter("Red & green", 0, 2), Chapter("Blue", 2, 3))
    assert_shows_the_colours(path, tolerance=6)
    assert cues_of_film(path) == [*cues[:2], Cue(2, 3, "to the end")]
    samples = heard(path)
    assert len(samples) / 48_000 == pytest.approx(3, abs=0.05)
    peak = np.abs(np.fft.rfft(samples[48_000:96_000])).argmax()  # one second: bins are Hz
    assert peak == 440
    assert loudness(samples, 0.5, 2.5) == pytest.approx(0.5 / 2**0.5, rel=0.05)


def test_an_mp4_plays_in_browsers(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (63, 95, 3), np.uint8)  # odd sizes
    noise[:, -8:] = noise[-8:] = COLOURS[0]
    with open_film(path, FilmSpec(fps=FPS, label=LABEL, crf=10)) as film:
        for _ in range(5 * FPS):
            film.write(Image.fromarray(noise))
    first = next(read_frames(path))
    assert np.abs(first[:, -4:].astype(int) - COLOURS[0]).max() < 12  # the edge goes on
    assert np.abs(first[-4:].astype(int) - COLOURS[0]).max() < 12
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # the index first: playing starts at once
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        context = video.codec_context
        assert (context.pix_fmt, video.width, video.height) == ("yuv420p", 96, 64)
        assert context.color_range == context.colorspace == context.color_primaries == 1  # BT.709
        packets = [packet for packet in film.demux(video) if packet.pts is not None]
        keys = [float(p.pts * p.time_base) for p in packets if p.is_keyframe]
        assert keys[0] == 0
        assert max(b - a for a, b in itertools.pairwise([*keys, 5.0])) <= 2.0  # seeking is quick


def test_sound_shorter_than_the_picture_is_followed_by_silence(tmp_path: Path) -> None:
    samples = heard(write(tmp_path / "a.mp4", sound=tone(1)))
    assert len(samples) / 48_000 == pytest.approx(3, abs=0.05)
    assert loudness(samples, 0.1, 0.9) > 0.3
    assert loudness(samples, 1.2, 2.9) < 0.001


def test_a_film_of_one_frame_and_no_samples_is_a_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    silent = Sound(np.zeros(0, np.float32), 16_000)
    with open_film(path, FilmSpec(fps=5, label=LABEL, sound=silent)) as film:
        film.write(still(COLOURS[0]))
    assert len(list(read_frames(path))) == 1
    assert len(heard(path)) / 48_000 == pytest.approx(0.2, abs=0.05)


def test_sound_longer_than_the_picture_is_faded_and_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", sound=tone(10))
    samples = heard(path)
    assert probe(path).duration == pytest.approx(3, abs=0.02)
    assert len(samples) / 48_000 == pytest.approx(3, abs=0.05)
    assert loudness(samples, 2.8, 2.94) > 0.3
    assert loudness(samples, 2.99, 3.0) < 0.1  # no click


def test_a_gif_repeats_in_its_own_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gif", size=(97, 65))
    assert_shows_the_colours(path, tolerance=2)
    with Image.open(path) as film:
        assert film.size == (97, 65)
        assert film.info["loop"] == 0  # for ever
        times = []
        for number in range(film.n_frames):
            film.seek(number)
            times.append(film.info["duration"])
    assert sum(times) == pytest.approx(3000, abs=30)


def test_a_gif_keeps_a_rare_colour_of_a_colourful_film(tmp_path: Path) -> None:
    x = np.linspace(0, 255, 96).astype(np.uint8)
    meadow = np.stack([np.tile(x // 4, (64, 1)), np.tile(x, (64, 1)), np.tile(x // 3, (64, 1))], -1)
    with open_film(tmp_path / "a.gif", FilmSpec(fps=5, label=LABEL)) as film:
        for _ in range(4):
            film.write(meadow)
        meadow[20:28, 20:28] = (250, 20, 200)
        film.write(meadow)
    *_, last = read_frames(tmp_path / "a.gif")
    assert np.abs(last[22:26, 22:26].astype(int) - (250, 20, 200)).max() < 12


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif"])
def test_the_file_says_that_a_machine_made_it(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    assert AI_SOURCE_TYPE.encode() in path.read_bytes()
    if name == "a.gif":
        (packet,) = [block for block in gif_blocks(path.read_bytes()) if LABEL.xmp() in block]
        assert packet.startswith(b"XMP DataXMP" + LABEL.xmp())
    else:
        assert probe(path).metadata["title"] == LABEL.title
        assert "AI-generated" in probe(path).metadata["comment"]
    if name == "a.mp4":
        box = path.read_bytes().rindex(b"uuid")
        assert path.read_bytes()[box + 20 :] == LABEL.xmp()


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif"])
def test_a_film_that_is_not_finished_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    spec = FilmSpec(fps=FPS, label=LABEL, sound=None if name == "a.gif" else tone(1))
    with pytest.raises(KeyboardInterrupt), open_film(tmp_path / name, spec) as film:
        film.write(still(COLOURS[0]))
        assert not (tmp_path / name).exists()  # it appears whole or not at all
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FilmClosed):
        film.write(still(COLOURS[0]))

    forgotten = open_film(tmp_path / name, spec)
    for _ in range(80):  # more than an encoder keeps to look ahead
        forgotten.write(still(COLOURS[0]))
    if name != "a.gif":  # a GIF waits in a file without a name
        assert len(list(tmp_path.iterdir())) == 1
    del forgotten
    gc.collect()
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(EmptyFilm), open_film(tmp_path / name, spec):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    spec = FilmSpec(fps=FPS, label=LABEL)
    with open_film(tmp_path / "a.mp4", spec) as film:
        film.write(still(COLOURS[0]))
        with pytest.raises(FrameMismatch, match="64x64, not 96x64"):
            film.write(still(COLOURS[0], 64, 64))
        with pytest.raises(FrameMismatch, match="float64"):
            film.write(np.zeros((64, 96, 3)))
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 1
    with pytest.raises(UnsupportedTrack):
        open_film(tmp_path / "a.gif", FilmSpec(fps=FPS, label=LABEL, sound=tone(1)))
    with pytest.raises(FilmError, match="50 frames"):
        open_film(tmp_path / "a.gif", FilmSpec(fps=60, label=LABEL))
    with pytest.raises(FilmError, match="named"):
        open_film(tmp_path / "a.avi", spec)
    with pytest.raises(InvalidSound, match="float32"):
        Sound(np.zeros(10), 8000)
    with pytest.raises(InvalidSound, match="NaN"):
        Sound(np.full(10, np.nan, np.float32), 8000)
    (tmp_path / "no.mp4").write_bytes(b"this is no film")
    with pytest.raises(UnreadableVideo):
        probe(tmp_path / "no.mp4")


def test_a_poster_is_a_frame_with_something_to_see_and_the_label(tmp_path: Path) -> None:
    scene = still((30, 90, 200))
    scene[20:40, 30:60] = (240, 220, 40)
    with open_film(tmp_path / "a.mp4", FilmSpec(fps=FPS, label=LABEL)) as film:
        for frame in [still((0, 0, 0))] * 18 + [scene] * 10 + [still((0, 0, 0))] * 8:
            film.write(frame)
    poster = read_frame_at(tmp_path / "a.mp4")
    assert np.abs(poster[30, 45].astype(int) - (240, 220, 40)).max() < 12
    assert read_frame_at(tmp_path / "a.mp4", 0.0).max() < 12
    assert read_frame_at(tmp_path / "a.mp4", 2.0)[30, 45].max() > 200
    assert read_frame_at(tmp_path / "a.mp4", 99.0).max() < 12

    metadata = ImageMetadata("a yellow box", "", 7, "atelier-tiny", 12, 3.0)
    assert metadata_of_picture(encode_poster(poster, metadata, "png")) == metadata
    with Image.open(io.BytesIO(encode_poster(poster, metadata))) as jpeg:
        assert AI_SOURCE_TYPE.encode() in jpeg.info["xmp"]
        assert np.abs(np.asarray(jpeg)[30, 45].astype(int) - poster[30, 45]).max() < 10
