"""Extract a storyboard from a story without a language model.

Extraction only: every title, narration, shot and description is a piece of the story, so nothing is
invented. The list of words for unnamed characters is English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.schemas.writing import Framing, StoryCharacter, StoryOutline, StoryScene
from models.text.sentences import sentences, split_paragraph
from models.text.shorten import shorten
from models.text.story import Story, read_story

_QUOTED = re.compile(r"[\"“„«»]")
_CAPITALIZED = r"[^\W\d_a-z][^\W\d_]+"
_NAME = re.compile(rf"{_CAPITALIZED}(?:\s+{_CAPITALIZED})?")
_WORDS_BEFORE_NOUNS = frozenset(  # of German, which writes every noun with a capital
    re.findall(
        r"\w+",
        "der die das den dem des ein eine einen einem einer eines im am zum zur vom beim ins",
    )
)
_CHARACTER_NOUNS = (
    "girl|boy|man|woman|child|king|queen|prince|princess|knight|wizard|witch|farmer|sailor|captain|"
    "fisherman|teacher|doctor|baker|miller|hunter|soldier|thief|merchant|monk|giant|dwarf|fairy|"
    "ghost|robot|dragon|fox|wolf|bear|rabbit|hare|tortoise|mouse|cat|dog|horse|donkey|lion|tiger|"
    "owl|crow|bird|frog|fish|whale|spider|snake|mother|father|sister|brother|grandmother|"
    "grandfather|old man|old woman"
)
_ONE = r"(?:the|an?|her|his|their|my|our)"
_CHARACTER_PHRASE = re.compile(rf"\b{_ONE}\s+((?:[a-z-]+\s+){{0,2}}?(?:{_CHARACTER_NOUNS}))\b")
_INTRODUCED = re.compile(  # by one word: of "Once Mira was a girl" the first is no name
    rf"\b({_CAPITALIZED})\s+(?:was|is)\s+{_ONE}\s+(?:[a-z-]+\s+){{0,3}}?(?:{_CHARACTER_NOUNS})\b"
)
_NOT_NAMES = frozenset(
    re.findall(
        r"\w+",
        "Another Each Everybody Everyone He Here It Nobody Once One She That There This Who",
    )
)
_SCENES, _CHARACTERS = 24, 12
_SCENE_CHARACTERS = 480
_BETWEEN_TITLES = " – "


class _Passage(NamedTuple):
    """What one scene tells; ``title`` is its chapter's, ``begins`` that the chapter begins here."""

    title: str
    text: str
    begins: bool


def extract_story_outline(source: str, language: str = "en") -> StoryOutline:
    """Extract a storyboard with one scene per part between breaks or headings.

    Long parts are split between paragraphs, and between sentences of ``language`` (BCP 47).
    Paragraphs of one scene are parted by a blank line. The shot is the sentence that names the most
    characters.

    Raises:
        pydantic.ValidationError: a scene would have to tell more than the schema allows, which
            needs more than 24,000 characters.
    """
    story = read_story(source)
    passages = list(_passages(story, language))
    while len(passages) > _SCENES:
        at = min(range(len(passages) - 1), key=lambda n: _cost(passages[n], passages[n + 1]))
        passages[at : at + 2] = [_merge(passages[at], passages[at + 1])]
    if not passages:  # a title or code alone
        whole = " ".join(source.removeprefix("\ufeff").split()) or "…"
        passages = [_Passage("", text, False) for text in cut_text(whole, 2000, language)]
    people = _find_characters([passage.text for passage in passages], language)
    scenes = [_scene(number, passage, people, language) for number, passage in enumerate(passages)]
    whole = story.title or scenes[0].title
    return StoryOutline(title=shorten(whole, 120), characters=people, scenes=tuple(scenes))


def join_titles(*titles: str) -> str:
    """Return the titles of chapters that one scene tells, without repetition."""
    return _BETWEEN_TITLES.join(dict.fromkeys(filter(None, titles)))


def cut_text(text: str, longest: int, language: str = "en") -> Iterator[str]:
    """Cut ``text`` into pieces of at most ``longest`` characters, as whole as possible.

    Pieces end with paragraphs, else with sentences, else between words; nothing is lost.
    """
    piece, part = "", ""
    for number, paragraph in enumerate(text.split("\n\n")):
        part = "\n\n" if number else ""
        for sentence in _sentences(paragraph, longest, language):
            if piece and len(piece) + len(part) + len(sentence.rstrip()) > longest:
                yield piece.strip()
                piece, part = "", ""
            piece += part + sentence
            part = ""
    if piece.strip():
        yield piece.strip()


def _sentences(paragraph: str, longest: int, language: str) -> Iterator[str]:
    for sentence in split_paragraph(paragraph, language):
        rest = sentence
        while len(rest.rstrip()) > longest:
            at = rest.rfind(" ", 0, longest) + 1 or longest
            yield rest[:at]
            rest = rest[at:]
        yield rest


def _passages(story: Story, language: str) -> Iterator[_Passage]:
    """Yield what scenes tell: neighboring paragraphs while they are short, a long one in pieces."""
    chapter, begun = "", ""  # begun: titles of chapters that nothing has been told of
    for part in story.parts:
        if part.title:
            chapter = begun = join_titles(begun, part.title)
        groups: list[str] = []
        for paragraph in part.paragraphs:
            if groups and len(groups[-1]) + len(paragraph) < _SCENE_CHARACTERS // 2:
                groups[-1] += f"\n\n{paragraph}"
            else:
                groups += cut_text(paragraph, _SCENE_CHARACTERS, language)
        for group in groups:
            yield _Passage(chapter, group, bool(begun))
            begun = ""


def _cost(one: _Passage, other: _Passage) -> tuple[bool, int]:
    """Return what merging costs: first the beginning of a chapter, then length."""
    return (other.begins, len(one.text) + len(other.text))


def _merge(one: _Passage, other: _Passage) -> _Passage:
    title = join_titles(one.title, other.title if other.begins else "")
    return _Passage(title, f"{one.text}\n\n{other.text}", one.begins or other.begins)


def _scene(
    number: int, passage: _Passage, people: Sequence[StoryCharacter], language: str
) -> StoryScene:
    text = passage.text
    said = [sentence.text for sentence in sentences(text, language)] or [text]
    present = [person.name for person in people if _mentions_name(text, person.name)][:6]
    shot = max(said, key=lambda sentence: sum(_mentions_name(sentence, name) for name in present))
    framing: Framing = "medium"
    if number == 0:
        framing = "wide"  # the first picture shows where we are
    elif _QUOTED.search(text):
        framing = "close"  # whoever speaks is looked at
    return StoryScene(
        title=shorten(passage.title or said[0], 120),
        narration=text,
        characters=tuple(shorten(name, 120) for name in present),
        shot=shorten(shot, 240),
        framing=framing,
    )


def _find_characters(texts: Sequence[str], language: str) -> tuple[StoryCharacter, ...]:
    """Find the characters and describe each by the first sentence that mentions it.

    A name counts if it occurs twice, at least once inside a sentence, or is introduced ("Mira was a
    young woman"); then unnamed characters that occur twice.
    """
    said = [sentence.text for text in texts for sentence in sentences(text, language)]
    inside: Counter[str] = Counter()
    for sentence in said:
        for match in _NAME.finditer(sentence, sentence.find(" ") + 1):
            before = sentence[: match.start()].rstrip("\"“”„«»'‘’( ")
            opens = not before or before[-1] in ".!?…:"
            word = before.rpartition(" ")[2].casefold()
            if match.group()[0].isupper() and not opens and word not in _WORDS_BEFORE_NOUNS:
                inside[match.group()] += 1
    whole = " ".join(said)
    names = [name for name in inside if len(re.findall(rf"\b{re.escape(name)}\b", whole)) >= 2]
    names += [name for name in _INTRODUCED.findall(whole) if name not in _NOT_NAMES]
    names = list(dict.fromkeys(names))
    # "Captain Mira" and "Mira" are one: the shorter name finds both
    names = [n for n in names if not any(o != n and _mentions_name(n, o) for o in names)]
    others = _INTRODUCED.sub(r"\1", whole)  # the woman that Mira is, is nobody else
    beings = Counter(match.group(1).split()[-1] for match in _CHARACTER_PHRASE.finditer(others))
    names += [being for being, count in beings.items() if count >= 2]
    names.sort(key=lambda name: whole.find(name))
    return tuple(
        StoryCharacter(
            name=shorten(name, 120),
            description=shorten(next((s for s in said if _mentions_name(s, name)), ""), 240),
        )
        for name in names[:_CHARACTERS]
    )


def _mentions_name(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
