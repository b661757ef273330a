"""Scan the source of an equation, with the lookahead that its parser needs."""

from __future__ import annotations

from models.slides.errors import BadEquation


class Scanner:
    """A position ``at`` in the source; ``depth`` counts the nesting."""

    def __init__(self, source: str) -> None:
        self.source, self.at, self.depth = source, 0, 0

    def error(self, why: str) -> BadEquation:
        near = self.source[max(0, self.at - 12) : self.at + 12]
        return BadEquation(f"{why} (near {near!r})")

    def done(self) -> bool:
        return self.at >= len(self.source)

    def peek(self) -> str:
        return self.source[self.at] if not self.done() else ""

    def skip_space(self) -> None:
        while self.peek().isspace():
            self.at += 1

    def take(self, text: str) -> bool:
        if text and self.source.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def at_end_of(self, until: str) -> bool:
        """Return whether the sequence ends here: at a sign in ``until``, a brace or the end of a
        cell.
        """
        if self.done() or self.peek() in until or self.peek() == "}":
            return True
        ends = ("\\right", "\\end", "\\\\", "&")
        return any(
            self.source.startswith(end, self.at) and not self._longer_word(end) for end in ends
        )

    def _longer_word(self, command: str) -> bool:
        after = self.at + len(command)
        return command[-1].isalpha() and self.source[after : after + 1].isalpha()

    def raw_argument(self) -> str:
        self.skip_space()
        if not self.take("{"):
            raise self.error("a { is expected here")
        end = self.source.find("}", self.at)
        if end < 0:
            raise self.error("a { is never closed")
        text, self.at = self.source[self.at : end], end + 1
        return text

    def has_closing_bracket(self) -> bool:
        """Return whether the bracket here is closed before the sequence ends.

        A bracket may stand alone: its partner can be in another term.
        """
        depth = braces = 0
        for char in self.source[self.at :]:
            braces += {"{": 1, "}": -1}.get(char, 0)
            if braces < 0:
                return False
            if braces == 0:
                depth += 1 if char in "([" else -1 if char in ")]" else 0
                if depth == 0:
                    return True
        return False
