"""The fenced blocks of a lesson's Markdown: data in a few plain lines, never code.

A plot, one setting a line::

    y = sin(x)                 a function of x; up to four
    x: -6.28..6.28             the range, also for y
    points: (0, 1) (1, 3.5)    measured points, joined unless `connect: no`
    bars: 2023 = 3, 2024 = 5   bars, alone
    x label: time              also for y

A diagram::

    sun: Sunlight              a node and its label
    sun -> leaf: feeds         an arrow; a node without a label is called by its id
    direction: right           or down

A quiz: the question, its choices, the right one marked, perhaps the seconds to think::

    Which side is the longest?
    - A leg
    - [x] The hypotenuse
    pause: 5
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deployments.generators.study_animation.inline_text import shown_text
from models.formulas.errors import FunctionError
from models.formulas.functions import parse_expression
from models.text.markdown import line_content
from models.text.phrases import columns

SceneDraft = dict[str, Any]  # a scene before it is checked

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^({_NUMBER})\s*(?:\.\.|to)\s*({_NUMBER})$")
_POINT = re.compile(rf"\(\s*({_NUMBER})\s*[,;]\s*({_NUMBER})\s*\)")
_BAR = re.compile(rf"^(.+?)\s*=\s*({_NUMBER})$")
_FUNCTION = re.compile(r"^(?:y|f\(x\)|g\(x\)|h\(x\))\s*=\s*(.+)$")
_SETTING = re.compile(r"^([\w ]+?)\s*:\s*(.+)$")
_EDGE = re.compile(r"^([\w-]+)\s*(?:-+>|→)\s*([\w-]+)\s*(?::\s*(.*))?$")
_NODE = re.compile(r"^([\w-]+)\s*:\s*(.+)$")
_CHOICE = re.compile(r"^[-*+]\s+(\[[ xX]?\]\s*)?(.+)$")
_ENDED = re.compile(r"[.!?…:;。！？।؟]$")


_LONGEST_QUESTION, _LONGEST_CHOICES = 200, 300  # characters that fit in every shape of the frame


class BadMarkdown(ValueError):
    """A block cannot become a scene."""

    def __init__(self, line: int, reason: str, place: str = "line") -> None:
        super().__init__(f"{place} {line}: {reason}")
        self.line = line


def parse_plot(line: int, lines: list[str]) -> SceneDraft:
    draft: SceneDraft = {"type": "plot", "functions": [], "points": [], "bars": []}
    for number, text in _numbered_lines(line, lines):
        if function := _FUNCTION.match(text):
            draft["functions"].append(_checked_function(number, function.group(1).strip()))
            continue
        setting = _SETTING.match(text)
        if setting is None:
            raise BadMarkdown(
                number, f"a plot has lines like 'y = sin(x)' and 'x: -5..5', not {text[:60]!r}"
            )
        name, value = setting.group(1).casefold(), setting.group(2).strip()
        if name in ("x", "y"):
            span = _RANGE.match(value)
            if span is None:
                raise BadMarkdown(number, f"a range is written -5..5, not {value[:60]!r}")
            draft[f"{name}_range"] = (float(span.group(1)), float(span.group(2)))
        elif name == "points":
            draft["points"] += [{"x": float(x), "y": float(y)} for x, y in _POINT.findall(value)]
            if _POINT.sub("", value).strip(" ,;"):
                raise BadMarkdown(number, "points are written (0, 1) (1, 3.5)")
        elif name == "bars":
            for part in value.split(","):
                bar = _BAR.match(part.strip())
                if bar is None:
                    raise BadMarkdown(number, f"a bar is written 2024 = 5, not {part.strip()!r}")
                draft["bars"].append({"label": bar.group(1), "value": float(bar.group(2))})
        elif name in ("x label", "y label"):
            draft[name.replace(" ", "_")] = value
        elif name == "connect":
            draft["connect"] = value.casefold() not in ("no", "false", "off")
        else:
            raise BadMarkdown(number, f"a plot has no {name!r}")
    return draft


def _checked_function(line: int, source: str) -> str:
    try:
        parse_expression(source)
    except FunctionError as error:
        raise BadMarkdown(line, f"{source!r} is no function of x: {error}") from error
    return source


def parse_diagram(line: int, lines: list[str]) -> SceneDraft:
    labels: dict[str, str] = {}
    edges: list[dict[str, str]] = []
    draft: SceneDraft = {"type": "diagram"}
    for number, text in _numbered_lines(line, lines):
        if edge := _EDGE.match(text):
            source, target, label = edge.groups()
            if source == target:
                raise BadMarkdown(number, f"an arrow leads from {source!r} to itself")
            for node in (source, target):
                labels.setdefault(node, node)
            edges.append({"from": source, "to": target, "label": (label or "").strip()})
        elif (node := _NODE.match(text)) and node.group(1) == "direction":
            draft["direction"] = node.group(2).strip()
        elif node:
            labels[node.group(1)] = node.group(2).strip()
        else:
            raise BadMarkdown(
                number, f"a diagram has lines like 'a: Label' and 'a -> b', not {text[:60]!r}"
            )
    nodes = [{"id": name, "label": label} for name, label in labels.items()]
    return draft | {
        "nodes": nodes,
        "edges": edges,
        "narration": as_sentences(list(labels.values())),
    }


def parse_quiz(line: int, lines: list[str]) -> SceneDraft:
    question: list[str] = []
    choices: list[str] = []
    draft: SceneDraft = {"type": "quiz"}
    for number, text in _numbered_lines(line, lines):
        setting = _SETTING.match(text)
        if choice := _CHOICE.match(text):
            if "x" in (choice.group(1) or "").casefold():
                if "answer" in draft:
                    raise BadMarkdown(number, "a quiz has one right choice")
                draft["answer"] = len(choices)
            choices.append(_shown(choice.group(2)))
        elif choices and setting and setting.group(1).casefold() == "pause":
            try:
                draft["pause_s"] = float(setting.group(2))
            except ValueError:
                raise BadMarkdown(number, "pause is a number of seconds") from None
        elif not choices:
            question.append(_shown(text))
        else:
            raise BadMarkdown(number, f"after the choices only 'pause: 5' can stand: {text[:60]!r}")
    if "answer" not in draft:
        raise BadMarkdown(line, "mark the right choice of the quiz with [x]")
    asked = " ".join(question)
    longest = max(map(columns, choices))
    if columns(asked) > _LONGEST_QUESTION or longest * len(choices) > _LONGEST_CHOICES:
        raise BadMarkdown(
            line,
            f"the quiz does not fit one picture: ask in at most {_LONGEST_QUESTION} characters, and"
            f" give {len(choices)} choices at most {_LONGEST_CHOICES // len(choices)} each",
        )
    return draft | {
        "question": asked,
        "choices": choices,
        "narration": as_sentences([asked, *choices]),
    }


BLOCK_PARSERS: dict[str, Callable[[int, list[str]], SceneDraft]] = {
    "plot": parse_plot,
    "diagram": parse_diagram,
    "quiz": parse_quiz,
}


def as_sentences(lines: list[str]) -> str:
    """Lines as sentences, so that the voice pauses between them."""
    return " ".join(
        line if _ENDED.search(line) else line + ("。" if "\u3040" <= line[-1] <= "\u9fff" else ".")
        for line in (line.strip() for line in lines)
        if line
    )


def _shown(line: str) -> str:
    return shown_text(line_content(line), lambda *_: None)


def _numbered_lines(line: int, lines: list[str]) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers; ``line`` is that of the fence."""
    return [
        (line + offset, text.strip()) for offset, text in enumerate(lines, start=1) if text.strip()
    ]
