"""Errors of formulas and functions; each message says what is wrong and what to write instead."""

from __future__ import annotations


class FormulaError(ValueError):
    """The source is no formula known here.

    ``position`` counts the characters of the source (in composed form, NFC) before the place.
    """

    def __init__(self, reason: str, source: str = "", position: int = 0) -> None:
        near = " ".join(source[max(0, position - 12) : position + 16].split())
        place = f" (at character {position + 1}, near “{near}”)" if near else ""
        super().__init__(reason + place)
        self.reason, self.source, self.position = reason, source, position

    @property
    def line(self) -> int:
        """The line of the source, counted from 0."""
        return self.source.count("\n", 0, self.position)


class FunctionError(ValueError):
    """The source is no function of x known here, or has no value where it is to be drawn."""


class GraphError(ValueError):
    """An edge names a missing node, or an id is used twice."""
