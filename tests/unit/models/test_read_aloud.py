"""How a sentence is read aloud where it is not written in words."""

import pytest

from models.speech import espeak
from models.text.read_aloud import read_aloud
from models.text.sentences import words

READ = {
    "It costs $3.50, not $1,234.": "It costs 3 dollars and 50 cents, not 1234 dollars.",
    "They paid $5 million or £1.01.": "They paid 5 million dollars or 1 pound and 1 penny.",
    "A coffee is €2 or $0.99.": "A coffee is 2 euros or 99 cents.",
    "It drives 5 km at 90 km/h.": "It drives 5 kilometers at 90 kilometers per hour.",
    "g is 9.81 m/s².": "g is 9.81 meters per second squared.",
    "1 kg on a 5-km run": "1 kilogram on a 5 kilometer run",
    "1,000 m² of land, 10 min. later": "1000 square meters of land, 10 minutes. later",
    "It is −5 °C, and 50% are cold.": "It is minus 5 degrees Celsius, and 50 percent are cold.",
    "Watch 4K in 3D at 300 K.": "Watch 4K in 3D at 300 kelvins.",
    "On July 20, 1969, in 1905.": "On July 20th, 19 69, in 19 oh 5.",
    "In the 1990s and in 1900": "In the 19 nineties and in 19 hundred",
    "Since 2024-03-15, not 4 July 1776": "Since March 15th, 20 24, not the 4th of July 17 76",
    "From 1914–1918, 10-20 km": "From 19 14 to 19 18, 10 to 20 kilometers",
    "It had 2000 people in 2001.": "It had 2000 people in 2001.",
    "At 9:30 am, 9:05, 9:00 or 5 p.m.": "At 9 30 eigh M, 9 oh 5, 9 o'clock or 5 P M",
    "Dr. Smith lives at St. Mary's.": "Doctor Smith lives at Saint Mary's.",
    "Generation Gen Z, e.g. No. 5 etc.": "Generation Gen Z, for example number 5 et cetera.",
    "The U.S. and ATP, NASA, DNA": "The U S and eigh T P, NASA, DNA",
    "World War II, Chapter IV": "World War 2, Chapter 4",
    "Add 1/2 cup and 2 3/4 cups.": "Add one half cup and 2 and 3 quarters cups.",
    "Open 24/7, ratio 3:1, call 555-1234": "Open 24 7, ratio 3 to 1, call 555-1234",
    "In a triangle, a² + b² = c².": "In a triangle, eigh squared plus b squared equals c squared.",
    "3 × 10^8 and 10⁻³": "3 times 10 to the power of 8 and 10 to the power of minus 3",
    "√2 ≤ x₁, f(x) = 2x": "the square root of 2 is at most x 1, f of x equals 2 x",
    "H₂O, CO2, but No": "H 2 O, C O 2, but No",
    "A well-known re-read is fine – don’t.": "A well-known re-read is fine — don't.",
    "Nothing here needs a change, does it?": "Nothing here needs a change, does it?",
}


@pytest.mark.parametrize("written", READ)
def test_figures_and_signs_are_read_as_a_person_would(written: str) -> None:
    assert read_aloud(written, "en-US").text == READ[written]


@pytest.mark.parametrize("written", READ)
def test_every_written_word_is_heard_in_its_turn_and_nothing_between(written: str) -> None:
    read = read_aloud(written, "en")
    heard = [read.heard(span) for span in words(written)]
    assert all(span.start < span.end for span in heard)
    said = "".join(read.text[span.start : span.end] for span in heard)
    assert said.replace(" ", "") == read.text.replace(" ", "")


def test_a_sum_of_money_is_heard_at_its_words() -> None:
    written = "About $5 million were lost."
    read = read_aloud(written, "en")
    heard = [read.text[s.start : s.end].strip() for s in map(read.heard, words(written))]
    assert heard == ["About", "5", "million dollars", "were", "lost."]


def test_other_languages_are_left_to_the_voice() -> None:
    assert read_aloud("Es kostet 3,50 € und 5 km.", "de").text == "Es kostet 3,50 € und 5 km."


def test_a_number_is_one_number_to_the_voice() -> None:
    """A comma or a point within a number ends no clause."""
    commas, plain = espeak.to_phonemes(["1,234.5 apples", "1234.5 apples"], "en-us")
    assert commas == plain
