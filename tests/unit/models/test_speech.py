"""Narration: what is heard, when each word is heard, and who speaks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from models.memory.plans import MemoryPlan
from models.profiles.load import Profile
from models.speech import espeak
from models.speech.audio import change_tempo_and_pitch
from models.speech.errors import (
    NothingToSpeak,
    SpeechError,
    SpeechUnavailable,
    TextTooLong,
    UnknownVoice,
    UnsupportedLanguage,
)
from models.speech.narrator import MAX_CHARACTERS, Narrator
from models.speech.speech import Speech, SpeechRequest
from models.text.sentences import MAX_SENTENCE_CHARACTERS, sentences
from tests.support.miniatures import talking

TEXT = "Hello, world! It costs $3.50 and 25 apples — don't you think so?\n\nDr. Smith went home."


@pytest.fixture(scope="module")
def narrator() -> Narrator:
    return Narrator()


def _say(narrator: Narrator, text: str, **how: object) -> Speech:
    return narrator.speak(SpeechRequest(text, **how))  # type: ignore[arg-type]


def test_words_follow_one_another_inside_the_sound_and_spell_the_text(narrator: Narrator) -> None:
    speech = _say(narrator, TEXT)
    assert " ".join(word.text for word in speech.words) == " ".join(TEXT.split())
    assert speech.timing == "exact"
    assert speech.backend == "espeak-ng"
    for word in speech.words:
        assert 0 <= word.start < word.end <= speech.duration
    for word, following in zip(speech.words, speech.words[1:], strict=False):
        assert word.end <= following.start


def test_a_word_is_where_its_time_says_it_is(narrator: Narrator) -> None:
    """Loud within the words, silent in the gap between sentences, so times are not made up."""
    speech = _say(narrator, "One. Two.\n\nThree.")
    ends = [(a.end, b.start) for a, b in zip(speech.words, speech.words[1:], strict=False)]
    assert len(ends) == 2
    for end, start in ends:
        gap = speech.samples[round(end * speech.sample_rate) : round(start * speech.sample_rate)]
        assert np.abs(gap).max() < 0.02
    sentence_pause, paragraph_pause = (start - end for end, start in ends)
    assert paragraph_pause > sentence_pause > 0.2
    for word in speech.words:
        heard = speech.samples[
            round(word.start * speech.sample_rate) : round(word.end * speech.sample_rate)
        ]
        assert np.abs(heard).max() > 0.2


def test_more_text_takes_longer_and_a_higher_rate_shorter(narrator: Narrator) -> None:
    plain = _say(narrator, "The tide comes in twice a day.")
    assert _say(narrator, "The tide comes in twice a day. The moon pulls it.").duration > (
        plain.duration + 0.5
    )
    fast = _say(narrator, "The tide comes in twice a day.", rate=2.0)
    slow = _say(narrator, "The tide comes in twice a day.", rate=0.5)
    assert fast.duration * 1.6 < plain.duration < slow.duration / 1.6


def test_pitch_moves_the_voice(narrator: Narrator) -> None:
    text = "The quick brown fox jumps over the lazy dog near the river bank."
    low, plain, high = (_pitch(_say(narrator, text, pitch=p)) for p in (0.6, 1.0, 1.8))
    assert low * 1.15 < plain < high / 1.15


def test_stretching_keeps_the_pitch_and_shifting_keeps_the_length(narrator: Narrator) -> None:
    speech = _say(narrator, "The quick brown fox jumps over the lazy dog near the river bank.")
    slow = change_tempo_and_pitch(speech.samples, speech.sample_rate, tempo=0.5, pitch=1.0)
    high = change_tempo_and_pitch(speech.samples, speech.sample_rate, tempo=1.0, pitch=1.5)
    assert len(slow) == pytest.approx(2 * len(speech.samples), rel=0.03)
    assert len(high) == pytest.approx(len(speech.samples), rel=0.03)
    assert _pitch(speech, slow) == pytest.approx(_pitch(speech), rel=0.05)
    assert _pitch(speech, high) == pytest.approx(1.5 * _pitch(speech), rel=0.05)


@pytest.mark.parametrize("tempo", [0.5, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("pitch", [0.5, 1.0, 1.3, 2.0])
def test_a_tone_lasts_as_long_and_sounds_as_high_as_asked(tempo: float, pitch: float) -> None:
    rate, seconds = 22_050, 2.0
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate) / rate)).astype(np.float32)
    heard = change_tempo_and_pitch(tone, rate, tempo, pitch)
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(len(tone) / tempo, abs=1)
    middle = heard[len(heard) // 8 : -len(heard) // 8]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    loudest = spectrum.argmax() * rate / len(middle)
    assert loudest == pytest.approx(440 * pitch, rel=0.01)  # a sixth of a semitone
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / 2**0.5, rel=0.05)


def test_what_would_be_too_high_to_hear_is_left_out_not_folded_down() -> None:
    rate = 22_050
    whistle = (0.3 * np.sin(2 * np.pi * 8000 * np.arange(2 * rate) / rate)).astype(np.float32)
    heard = change_tempo_and_pitch(
        whistle, rate, tempo=1.0, pitch=2.0
    )  # 16 kHz: above half the sample rate
    assert np.sqrt(np.mean(heard**2)) < 0.003


def test_loudness_is_the_same_for_every_voice_and_nothing_clips_or_clicks(
    narrator: Narrator,
) -> None:
    for voice in ("en-us", "en-us+f3", "en-us+whisper"):
        speech = _say(narrator, "One, two. Three, four.", voice=voice)
        level = np.abs(speech.samples)
        assert level.max() <= 10 ** (-1 / 20) + 1e-6
        spoken = speech.samples[level > 0.01 * level.max()]
        assert np.sqrt(np.mean(spoken**2)) == pytest.approx(0.1, rel=0.05)
        assert speech.samples[0] == speech.samples[-1] == 0.0


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de-DE", "Grüße aus München."),
        ("es", "¿Qué tal el día?"),
        ("hi", "नमस्ते दुनिया, आज मौसम अच्छा है।"),
        ("zh-CN", "你好世界。今天天气很好。"),
    ],
)
def test_other_languages_are_spoken(narrator: Narrator, language: str, text: str) -> None:
    speech = _say(narrator, text, language=language)
    assert speech.duration > 0.6
    assert speech.voice == {"de-DE": "de", "zh-CN": "cmn"}.get(language, language)
    assert "".join(word.text for word in speech.words) == text.replace(" ", "")
    english = _say(narrator, text, language="en")
    assert english.samples.size != speech.samples.size  # read by another voice


def test_threads_get_what_they_would_get_alone(narrator: Narrator) -> None:
    requests = [
        SpeechRequest("The fox jumps. It runs away."),
        SpeechRequest("Der Fuchs springt. Er läuft davon.", language="de", rate=1.3),
    ] * 3
    alone = [narrator.speak(request) for request in requests[:2]] * 3
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(narrator.speak, requests))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.words == other.words


def test_text_is_cut_at_sentences_and_nothing_is_lost() -> None:
    text = 'He paid 3.50 at "Joe\'s." Dr. Smith (e.g. him) left.  Why? 你好。再见！\n\nEnd'
    pieces = sentences(text)
    assert [piece.text for piece in pieces] == [
        'He paid 3.50 at "Joe\'s."',
        "Dr. Smith (e.g. him) left.",
        "Why?",
        "你好。",
        "再见！",
        "End",
    ]
    assert [piece.ends_paragraph for piece in pieces] == [False, False, False, False, True, True]
    long = sentences("word, " * 300)
    assert max(len(piece.text) for piece in long) <= MAX_SENTENCE_CHARACTERS
    assert " ".join(piece.text for piece in long).split() == ("word, " * 300).split()


def test_progress_is_told_between_sentences_and_may_stop_the_rest(narrator: Narrator) -> None:
    class Stop(Exception):
        pass

    calls: list[tuple[int, int]] = []

    def count(done: int, total: int) -> None:
        calls.append((done, total))
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        narrator.speak(SpeechRequest("One. Two. Three."), on_sentence=count)
    assert calls == [(1, 3), (2, 3)]


def test_what_cannot_be_spoken_is_refused_with_the_way_out(narrator: Narrator) -> None:
    with pytest.raises(NothingToSpeak):
        _say(narrator, " … \n — ")
    with pytest.raises(TextTooLong, match=str(MAX_CHARACTERS)):
        _say(narrator, "a" * (MAX_CHARACTERS + 1))
    with pytest.raises(UnsupportedLanguage, match=r"\bde\b.*\bsw\b"):
        _say(narrator, "majQa'", language="tlh")
    with pytest.raises(UnknownVoice, match="en-us"):
        _say(narrator, "Hello", voice="de")
    with pytest.raises(UnknownVoice):
        _say(narrator, "Hello", voice="en-us+../f3")
    with pytest.raises(SpeechError, match="rate"):
        _say(narrator, "Hello", rate=9.0)


def test_without_any_voice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise espeak.EspeakMissing('pip install "atelier[speech]"')

    monkeypatch.setattr(espeak, "list_voices", missing)
    with pytest.raises(SpeechUnavailable, match="pip install"):
        Narrator()


def test_a_neural_voice_speaks_its_language_and_espeak_the_others(tmp_path: Path) -> None:
    narrator = Narrator.loader(_vits_profile(talking.vits(tmp_path))).load(
        MemoryPlan.RESIDENT, "cpu"
    )
    text = "the tide comes in. the moon pulls it."
    speech = _say(narrator, text)
    assert (speech.backend, speech.timing, speech.voice) == ("vits", "estimated", "0")
    assert speech.sample_rate == 16_000
    assert np.abs(speech.samples).max() > 0.1
    assert [word.text for word in speech.words] == text.split()
    assert speech.words[0].start == 0.0
    for word, following in zip(speech.words, speech.words[1:], strict=False):
        assert word.start <= word.end <= following.start <= speech.duration
    torch.rand(3)  # whoever else draws random numbers changes nothing
    again = _say(narrator, text)
    np.testing.assert_array_equal(speech.samples, again.samples)
    other = _say(narrator, text, voice="1")
    assert not np.array_equal(speech.samples, other.samples[: speech.samples.size])
    faster = _say(narrator, text, rate=2.0)
    assert faster.duration < 0.7 * speech.duration

    german = _say(narrator, "die Flut kommt.", language="de")
    assert (german.backend, german.timing) == ("espeak-ng", "exact")
    assert _say(narrator, "the tide", voice="en-us+f3").backend == "espeak-ng"


def test_a_voice_trained_on_phonemes_is_given_phonemes(tmp_path: Path) -> None:
    folder = talking.vits(tmp_path, phonemize=True, alphabet=" həlˈoʊ,.")
    narrator = Narrator.loader(_vits_profile(folder)).load(MemoryPlan.RESIDENT, "cpu")
    assert narrator._neural is not None
    assert narrator._neural._prepare_text("Hello, hello.") == "həlˈoʊ, həlˈoʊ."
    assert _say(narrator, "Hello, hello.").backend == "vits"


def test_absent_weights_leave_the_speaking_to_espeak(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    narrator = Narrator.loader(_vits_profile(tmp_path / "nowhere")).load(MemoryPlan.RESIDENT, "cpu")
    assert _say(narrator, "Hello").backend == "espeak-ng"
    assert "mini-vits" in caplog.text


def _pitch(speech: Speech, samples: "np.ndarray | None" = None) -> float:
    """The median fundamental in Hz, by autocorrelation of 46 ms windows."""
    sound = speech.samples if samples is None else samples
    found = []
    for at in range(0, len(sound) - 1024, 512):
        window = sound[at : at + 1024] - sound[at : at + 1024].mean()
        likeness = np.correlate(window, window, "full")[1023:]
        shortest, longest = speech.sample_rate // 500, speech.sample_rate // 60
        period = shortest + int(likeness[shortest:longest].argmax())
        if np.abs(window).max() > 0.1 and likeness[period] > 0.4 * likeness[0]:
            found.append(speech.sample_rate / period)
    return float(np.median(found))


def _vits_profile(weights: Path) -> Profile:
    need = {"components": {"model": 1}, "activations": 1, "activations_sliced": 1}
    model = {
        "path": str(weights),
        "licence": "Apache-2.0",
        "commercial": True,
        "loader": "VitsModel",
        "memory": need,
    }
    return Profile.model_validate(
        {
            "name": "test",
            "title": "A miniature voice",
            "device": "cpu",
            "models": {"mini-vits": model},
            "capabilities": {"speech": {"model": "mini-vits", "voice": "0"}},
        }
    )
