"""Bind eSpeak NG through ctypes: some 130 languages, exact word times, no weights.

The library is GPL-3 and an optional package (``espeakng-loader``), loaded at run time and never
part of our wheel (``docs/decisions/0010-voice-and-text.md``). Its interface is ``speak_lib.h`` of
eSpeak NG 1.52.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_short, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.speech.audio import Samples

SAMPLE_RATE = 22_050  # Hz, of every voice file eSpeak NG 1.52 ships
_SYNCHRONOUS, _NO_EXIT = 2, 0x8000
_CHARS_UTF8, _POSITION_CHARACTER = 1, 1
_RATE, _PITCH = 1, 3
_WORDS_PER_MINUTE, _SLOWEST, _FASTEST = 175, 80, 450
_WORD_EVENT = 1
_IPA, _TIE = 0x02, 0x80
_MUTE = {"fo", "kaa", "xex"}  # the wheel lists these voices but lacks their dictionaries
# phonemes are asked for clause by clause, because eSpeak swallows what separates them
_MARKS = r";:,.!?¡¿—…\"«»“”()"
_PUNCTUATION = re.compile(rf"((?:[{_MARKS}](?!(?<=\d[.,:])\d))+)")  # but not inside a number
_BORROWED = re.compile(r"\([a-z^-]+\)")
_lock = threading.Lock()


class EspeakMissing(RuntimeError):
    """The eSpeak NG library is missing or fails to start."""


class EspeakVoice(NamedTuple):
    """A voice file: its name, and its languages with their priority, best first."""

    name: str
    title: str
    languages: tuple[tuple[int, str], ...]


class SynthesizedText(NamedTuple):
    """Synthesized speech with word marks.

    ``marks`` are pairs (character index, sample index) at which the library began a word.
    """

    samples: Samples
    sample_rate: int
    marks: tuple[tuple[int, int], ...]


class _Id(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),  # counted from 1
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _Id),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        ("languages", c_void_p),  # (priority byte, text, NUL) repeated, then a NUL
        ("identifier", c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


def is_available() -> bool:
    """Return whether the library is installed and starts."""
    try:
        return bool(list_voices())
    except EspeakMissing:
        return False


@functools.cache
def list_voices() -> tuple[EspeakVoice, ...]:
    """List every voice.

    Raises:
        EspeakMissing: install the package ``espeakng-loader``.
    """
    with _library() as (library, _):
        library.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        listed, voices = library.espeak_ListVoices(None), []
        for voice in _pointers(listed):
            name = voice.identifier.decode().rpartition("/")[2].lower()
            if name not in _MUTE:
                spoken = tuple(_languages(voice.languages))
                voices.append(EspeakVoice(name, voice.name.decode(), spoken))
        return tuple(voices)


@functools.cache
def list_variants() -> tuple[str, ...]:
    """List the timbres that any voice takes as ``name+variant``: ``f3`` is female, ``m2`` male."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return tuple(sorted(file.name for file in folder.iterdir()))


def synthesize(text: str, voice: str, rate: float = 1.0, pitch: float = 1.0) -> SynthesizedText:
    """Synthesize ``text`` with ``voice`` (a language name, optionally with ``+variant``).

    The same arguments always give the same samples. ``rate`` and ``pitch`` are factors; 1 is
    normal.

    Raises:
        EspeakMissing: the library is missing or returned an error.
    """

    sound: list[Any] = []
    marks: list[tuple[int, int]] = []

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            sound.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        number = 0
        while events[number].type:
            if events[number].type == _WORD_EVENT:
                marks.append((events[number].text_position - 1, events[number].sample))
            number += 1
        return 0

    callback, data = _Callback(take), text.encode() + b"\0"
    with _library() as (library, sample_rate):
        library.espeak_SetSynthCallback(callback)
        _speak_as(library, voice)
        words_per_minute = round(_WORDS_PER_MINUTE * rate)
        library.espeak_SetParameter(_RATE, min(max(words_per_minute, _SLOWEST), _FASTEST), 0)
        # eSpeak's scale of 0..100 runs over two octaves, 50 being the voice as it is
        library.espeak_SetParameter(_PITCH, min(max(round(50 + 50 * math.log2(pitch)), 0), 99), 0)
        size = c_size_t(len(data))
        done = library.espeak_Synth(
            data, size, c_uint(0), _POSITION_CHARACTER, c_uint(0), c_uint(_CHARS_UTF8), None, None
        )
    if done != 0:
        raise EspeakMissing(f"eSpeak NG could not speak (error {done})")
    samples = np.concatenate(sound) if sound else np.zeros(0, dtype=np.int16)
    return SynthesizedText((samples / 32768).astype(np.float32), sample_rate, tuple(marks))


def to_phonemes(texts: Sequence[str], voice: str, tie: str = "") -> list[str]:
    """Transcribe each of ``texts`` into the International Phonetic Alphabet.

    Stress marks and punctuation stay. ``tie`` stands between the letters of one sound, such as the
    two of an affricate.
    """
    mode = _IPA | (_TIE | ord(tie) << 8 if tie else 0)
    with _library() as (library, _):
        library.espeak_TextToPhonemes.restype = c_char_p
        _speak_as(library, voice)
        return [_transcribe(library, text, mode) for text in texts]


def _transcribe(library: Any, text: str, mode: int) -> str:
    parts = []
    for part in _PUNCTUATION.split(text):
        if not part.strip() or _PUNCTUATION.fullmatch(part):
            parts.append(part)
            continue
        pointer, said = c_char_p(part.encode()), []
        while pointer.value:
            heard = library.espeak_TextToPhonemes(byref(pointer), _CHARS_UTF8, mode)
            said.append((heard or b"").decode())
        lead, trail = part[: part[:1].isspace()], " " if part[-1:].isspace() else ""
        # "(en)" marks a word borrowed from another language
        parts.append(lead + _BORROWED.sub("", " ".join(said)).strip() + trail)
    return re.sub(r"\s+", " ", "".join(parts)).strip()


def _speak_as(library: Any, voice: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise EspeakMissing(f"eSpeak NG has no voice {voice!r}")


@contextmanager
def _library() -> Iterator[tuple[Any, int]]:
    """Load a fresh copy of the library and yield it with its sample rate in Hz.

    The library keeps its state in globals, so only one caller may use it at a time. Some of that
    state (the flutter of the voice) survives even ``espeak_Terminate``, so the same text would
    sound different each time; unloading the file resets it and costs about 3 ms per sentence.
    """
    try:
        import espeakng_loader
    except ImportError as missing:
        raise EspeakMissing(
            'eSpeak NG is not installed: pip install "atelier[speech]" brings it'
        ) from missing
    with _lock:
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path()
        except (OSError, RuntimeError) as broken:
            raise EspeakMissing(f"eSpeak NG does not load: {broken}") from broken
        try:
            sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _NO_EXIT)
            if sample_rate <= 0:
                raise EspeakMissing(f"eSpeak NG does not start with the data in {data}")
            library.espeak_ng_SetRandSeed(c_long(1))
            try:
                yield library, sample_rate
            finally:
                library.espeak_Terminate()
        finally:
            if hasattr(_ctypes, "dlclose"):  # not on Windows
                _ctypes.dlclose(library._handle)


def _pointers(array: Any) -> Iterator[Any]:
    number = 0
    while array[number]:
        yield array[number].contents
        number += 1


def _languages(address: int) -> Iterator[tuple[int, str]]:
    while priority := ctypes.string_at(address, 1)[0]:
        name = ctypes.string_at(address + 1)
        yield priority, name.decode()
        address += 2 + len(name)
