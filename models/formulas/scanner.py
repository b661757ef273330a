"""Scan the source of a formula, with the lookahead that its parser needs."""

from __future__ import annotations

import re

from models.formulas.errors import FormulaError

_BARRIER = re.compile(
    r"\\(?P<opens>left|begin)(?![A-Za-z])|\\(?P<closes>right|end)(?![A-Za-z])|(?P<cell>\\\\|&)"
    r"|\\.|(?P<group>[{}])|(?P<bracket>[()\[\]])",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?:(?<=[\s{}&])|(?<=\\\\)|^)(?<!\d\s)%[^\n]*")
ENDS = ("\\right", "\\middle", "\\end", "\\\\", "\\cr", "&")


class Scanner:
    """A position ``at`` in the source; ``depth`` counts the nesting. Comments become blanks."""

    def __init__(self, source: str) -> None:
        self.source = _COMMENT.sub(lambda found: " " * len(found[0]), source)
        self.at, self.depth = 0, 0
        self.pairs = _pairs(self.source)

    def error(self, reason: str, at: int | None = None) -> FormulaError:
        return FormulaError(reason, self.source, self.at if at is None else at)

    def done(self) -> bool:
        return self.at >= len(self.source)

    def peek(self) -> str:
        return self.source[self.at] if not self.done() else ""

    def skip_space(self) -> None:
        while self.peek().isspace():
            self.at += 1

    def take(self, text: str) -> bool:
        """Consume ``text``; a command only where its name ends there."""
        if self.source.startswith(text, self.at) and not self._longer_word(text):
            self.at += len(text)
            return True
        return False

    def take_match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.source, self.at)
        if found:
            self.at = found.end()
        return found

    def at_end_of(self, until: str) -> bool:
        """Return whether the sequence ends here: at a sign in ``until``, a brace or the end of a
        cell.
        """
        if self.done() or self.peek() in until or self.peek() == "}":
            return True
        return any(
            self.source.startswith(end, self.at) and not self._longer_word(end) for end in ENDS
        )

    def _longer_word(self, command: str) -> bool:
        if not (command[0] == "\\" and command[-1].isalpha()):
            return False
        after = self.source[self.at + len(command) : self.at + len(command) + 1]
        return after.isascii() and after.isalpha()

    def raw_argument(self) -> str:
        """The text in braces, as it is written; braces within are matched."""
        self.skip_space()
        start = self.at
        if not self.take("{"):
            raise self.error("a { is expected here")
        first, depth = self.at, 1
        while depth:
            if self.done():
                raise self.error("a { is never closed", start)
            char = self.peek()
            self.at += 2 if char == "\\" else 1
            depth += {"{": 1, "}": -1}.get(char, 0)
        return self.source[first : self.at - 1]

    def optional_argument(self) -> str | None:
        """The text in square brackets, if they follow."""
        self.skip_space()
        if self.peek() != "[":
            return None
        end, depth = self.at + 1, 0
        while end < len(self.source):
            char = self.source[end]
            if char == "]" and depth == 0:
                text, self.at = self.source[self.at + 1 : end], end + 1
                return text
            depth += {"{": 1, "}": -1}.get(char, 0)
            end += 2 if char == "\\" else 1
        raise self.error("a [ is never closed")


def _pairs(source: str) -> dict[int, int]:
    """Return where each bracket is closed. Within its group and cell, that is: a bracket may stand
    alone, since its partner can be in another term.
    """
    pairs: dict[int, int] = {}
    groups: list[list[int]] = [[]]
    for token in _BARRIER.finditer(source):
        opened = groups[-1]
        if token["opens"] or token["group"] == "{":
            groups.append([])
        elif token["closes"] or token["group"] == "}":
            groups[-1:] = [] if len(groups) > 1 else [[]]
        elif token["cell"]:
            opened.clear()
        elif token["bracket"] in ("(", "["):
            opened.append(token.start())
        elif token["bracket"] and opened:
            pairs[opened.pop()] = token.start()
    return pairs
