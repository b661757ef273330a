"""Scripts without a language model: what a document or a story already says, put in order.

Extractive: every title, line, question and description is a piece of the source, so nothing is made
up. The rules read structure (headings, lists, emphasis, capitals), which most languages share; the
list of words for beings without a name is English.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from models.schemas.writing import (
    Framing,
    LessonOutline,
    LessonSection,
    QuizQuestion,
    StoryCharacter,
    StoryOutline,
    StoryScene,
)
from models.text.sentences import sentences

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^\s*(?:={3,}|-{3,})\s*$")
_BULLET = re.compile(r"^\s*[-*+•]\s+(.*)$")
_STEP = re.compile(r"^\s*\d{1,3}[.)]\s+(.*)$")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_BREAK = re.compile(r"^\s*(?:[-*_]\s*){3,}$|^\s*[*⁂]\s*$")
_STRONG = re.compile(r"\*\*([^*\n]{2,60})\*\*|__([^_\n]{2,60})__")
_DEFINED = re.compile(r"^([^.:!?]{2,40}?)\s*(?::|\s[–—-])\s+(\S.{8,})$")
_FIGURE = re.compile(r"(?<![\w.,])\d[\d.,]*\d(?![\w])")
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
_QUESTIONS, _SECTIONS, _SCENES, _CHARACTERS = 8, 24, 24, 12
_SCENE_CHARACTERS = 480


class _Section(NamedTuple):
    title: str
    prose: list[str]
    bullets: list[str]
    steps: list[str]


def extract_lesson_outline(source: str) -> LessonOutline:
    """Markdown keeps its headings and lists; plain text gets a section per paragraph; a topic alone
    becomes a title with nothing under it. At most 24 sections: what follows joins the last."""
    title, parts = _sections(source)
    if not any(part.title for part in parts):
        parts = [_paragraph_section(text, part) for part in parts for text in part.prose or [""]]
    first = next((part.title for part in parts if part.title), source.strip())
    title = title or first
    merged = [*parts[:_SECTIONS]] or [_Section(title, [], [], [])]
    for extra in parts[_SECTIONS:]:
        for kept, more in zip(merged[-1][1:], extra[1:], strict=True):
            kept += more
    sections = [
        LessonSection(
            title=_shorten(without_marks(part.title) or title, 120),
            narration=_shorten(without_marks(" ".join(part.prose)), 2000),
            bullets=tuple(_lines(part.bullets or _key_sentences(part, title), 8)),
            steps=tuple(_lines(part.steps, 12)),
        )
        for part in merged
    ]
    return LessonOutline(
        title=_shorten(without_marks(title), 120),
        sections=tuple(sections),
        quiz=tuple(_quiz(merged)),
    )


def extract_story_outline(source: str) -> StoryOutline:
    """A scene for each part between breaks or headings, long ones split between paragraphs; the
    shot is the sentence that names the most characters."""
    title, parts = _sections(source)
    texts: list[tuple[str, str]] = []
    for part in parts:
        for group in _group_paragraphs([*part.prose, *part.steps, *part.bullets]):
            texts.append((part.title, group))
    while len(texts) > _SCENES:  # the shortest neighbours become one
        at = min(range(len(texts) - 1), key=lambda n: len(texts[n][1]) + len(texts[n + 1][1]))
        texts[at : at + 2] = [(texts[at][0], f"{texts[at][1]} {texts[at + 1][1]}")]
    texts = texts or [("", title or source.strip())]
    people = _find_characters([text for _, text in texts])
    scenes = [_scene(number, heading, text, people) for number, (heading, text) in enumerate(texts)]
    whole = title or scenes[0].title
    return StoryOutline(
        title=_shorten(without_marks(whole), 120), characters=people, scenes=tuple(scenes)
    )


def _sections(source: str) -> tuple[str | None, list[_Section]]:
    """The document's title (its only top heading, if it has one) and its parts in order."""
    lines = source.replace("\r\n", "\n").split("\n")
    parts, levels, paragraph, fenced = [_Section("", [], [], [])], [0], "", False
    for number, line in enumerate([*lines, ""]):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        if fenced:  # code is shown, not read out
            continue
        below = lines[number + 1] if number + 1 < len(lines) else ""
        heading, bullet, step = _HEADING.match(line), _BULLET.match(line), _STEP.match(line)
        underlined = bool(line.strip() and not paragraph and _UNDERLINE.match(below))
        ends = bool(heading or bullet or step or underlined or _BREAK.match(line))
        if paragraph and (ends or not line.strip()):
            parts[-1].prose.append(paragraph)
            paragraph = ""
        if heading or underlined:
            text = heading.group(2) if heading else line.strip()
            level = len(heading.group(1)) if heading else 1 if below.strip()[0] == "=" else 2
            parts.append(_Section(text, [], [], []))
            levels.append(level)
        elif _BREAK.match(line) or _UNDERLINE.match(line):
            if any(parts[-1][1:]):
                parts.append(_Section("", [], [], []))
                levels.append(99)
        elif bullet:
            parts[-1].bullets.append(bullet.group(1).strip())
        elif step:
            parts[-1].steps.append(step.group(1).strip())
        elif line.strip():
            paragraph = f"{paragraph} {line.strip()}".strip()
    top = min((level for level in levels if 0 < level < 99), default=0)
    if top and levels.count(top) == 1 and len(levels) > 2 and levels[1] == top:
        title = parts[1].title
        parts[1] = parts[1]._replace(title="")
        return title, [part for part in parts if part.title or any(part[1:])]
    parts = [part for part in parts if part.title or any(part[1:])]
    return _title_line(parts), parts


def _title_line(parts: list[_Section]) -> str | None:
    """Takes a first line that stands alone and ends without a stop from the text it heads."""
    if not parts or parts[0].title or not parts[0].prose:
        return None
    line = parts[0].prose[0]
    followed = len(parts) > 1 or len(parts[0].prose) > 1
    if not followed or len(line) > 80 or not line[-1].isalnum():
        return None
    del parts[0].prose[0]
    if not any(parts[0]):
        del parts[0]
    return line


def _paragraph_section(text: str, part: _Section) -> _Section:
    """A plain paragraph as a section of its own, called by its first sentence."""
    said = sentences(without_marks(text))
    title = said[0].text if said else ""
    last = not part.prose or text == part.prose[-1]
    return _Section(title, [text], part.bullets if last else [], part.steps if last else [])


def _key_sentences(part: _Section, title: str) -> list[str]:
    """What a section without a list shows: the first sentence of each paragraph, or of one
    paragraph each sentence; not once more what its title says."""
    said = [sentences(without_marks(text)) for text in part.prose]
    if len(said) == 1:
        points = [sentence.text for sentence in said[0][:4]]
    else:
        points = [paragraph[0].text for paragraph in said if paragraph]
    return [point for point in points if point not in (part.title, title)]


def _quiz(parts: list[_Section]) -> list[QuizQuestion]:
    """Sentences of the source with a term or a figure left out: emphasised terms, terms that a list
    defines, figures of two digits and more."""
    found: dict[str, QuizQuestion] = {}

    def ask(sentence: str, answer: str) -> None:
        gap = without_marks(sentence).replace(answer, "____")
        if 12 <= len(gap) <= 240 and "____" in gap and len(without_marks(answer)) <= 120:
            found.setdefault(answer.casefold(), QuizQuestion(question=gap, answer=answer))

    for part in parts:
        for line in (*part.bullets, *part.steps):
            if defined := _DEFINED.match(without_marks(line)):
                ask(line, defined.group(1).strip())
        for text in (*part.prose, *part.bullets):
            for sentence in sentences(text):
                for strong in _STRONG.finditer(sentence.text):
                    ask(sentence.text, without_marks(strong.group(1) or strong.group(2)))
                for figure in list(_FIGURE.finditer(sentence.text))[:1]:
                    ask(sentence.text, figure.group())
    return list(found.values())[:_QUESTIONS]


def _group_paragraphs(paragraphs: list[str]) -> list[str]:
    """Neighbouring paragraphs together, while they fit into one scene."""
    groups: list[str] = []
    for paragraph in (without_marks(text) for text in paragraphs):
        if groups and len(groups[-1]) + len(paragraph) < _SCENE_CHARACTERS // 2:
            groups[-1] += f" {paragraph}"
            continue
        current = ""
        for sentence in sentences(paragraph):
            if current and len(current) + len(sentence.text) > _SCENE_CHARACTERS:
                groups.append(current)
                current = ""
            current = f"{current} {sentence.text}".strip()
        if current:
            groups.append(current)
    return groups


def _scene(number: int, heading: str, text: str, people: tuple[StoryCharacter, ...]) -> StoryScene:
    said = [sentence.text for sentence in sentences(text)] or [text]
    present = [person.name for person in people if _mentions_name(text, person.name)][:6]
    shot = max(said, key=lambda sentence: sum(_mentions_name(sentence, name) for name in present))
    framing: Framing = "medium"
    if number == 0:
        framing = "wide"  # the first picture shows where we are
    elif _QUOTED.search(text):
        framing = "close"  # whoever speaks is looked at
    return StoryScene(
        title=_shorten(without_marks(heading) or said[0], 120),
        narration=_shorten(text, 2000),
        characters=tuple(_shorten(name, 120) for name in present),
        shot=_shorten(shot, 240),
        framing=framing,
    )


def _find_characters(texts: list[str]) -> tuple[StoryCharacter, ...]:
    """Names that occur twice, at least once not at the start of a sentence, or that are introduced
    ("Mira was a young woman"), then beings that occur twice; each described by the sentence that
    first mentions it."""
    said = [sentence.text for text in texts for sentence in sentences(text)]
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
            name=_shorten(name, 120),
            description=_shorten(next((s for s in said if _mentions_name(s, name)), ""), 240),
        )
        for name in names[:_CHARACTERS]
    )


def _mentions_name(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def without_marks(text: str) -> str:
    """Without Markdown's marks: emphasis, code, links, pictures, quotes."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__|`)(.+?)\1", r"\2", text)
    text = re.sub(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", text)
    return " ".join(re.sub(r"^\s*>\s?", "", text, flags=re.MULTILINE).split())


def _lines(lines: list[str], count: int) -> list[str]:
    return [_shorten(text, 240) for text in (without_marks(line) for line in lines) if text][:count]


def _shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut between words where there are any."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    at = head.rfind(" ")
    return (head[:at] if at > limit // 2 else head).rstrip(" ,;:") + "…"
