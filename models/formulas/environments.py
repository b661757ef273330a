"""Environments of formulas: matrices, cases, arrays, and lines that are aligned."""

from __future__ import annotations

import re

from models.formulas import symbols as names
from models.formulas.errors import FormulaError
from models.formulas.scanner import Scanner
from models.formulas.tree import EMPTY, Formula

MOST_COLUMNS, MOST_ROWS = 16, 30
_LINE = re.compile(r"\s*\\(hline|toprule|midrule|bottomrule|cline\{[^}]*\})")
ROW_END = re.compile(r"(?:\\\\|\\cr(?![A-Za-z]))(?:\*?\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\])?")
_COLUMN = re.compile(r"([lcr])|([|:])|[pmb]\{[^}]*\}|[@!><]\{[^}]*\}|\*\{(\d+)\}\{([lcr|]+)\}|\s")


class Environments(Scanner):
    """``\\begin{...}`` to ``\\end{...}``, and rows of other kinds."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.breaks: list[int] = []  # where the formula as a whole can be divided
        self.row_starts: list[int] = []

    def sequence(self, until: str) -> Formula:
        raise NotImplementedError

    def enter(self) -> None:
        raise NotImplementedError

    def atom(self) -> tuple[Formula, bool]:
        raise NotImplementedError

    def nested(self, source: str) -> Formula:
        """Parse a part that stands in square brackets or in words."""
        inner = type(self)(source)
        inner.depth = self.depth + 1
        try:
            tree = inner.sequence("")
        except FormulaError as error:
            raise self.error(error.reason) from error
        if not inner.done():
            raise self.error(f"{inner.closing()!r} closes nothing")
        return tree

    def closing(self) -> str:
        """What stands here, where nothing that it could close is open."""
        found = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL).match(self.source, self.at)
        return found[0] if found else ""

    def unclosed(self, reason: str, start: int) -> FormulaError:
        """The error of what is not closed where it ends. The place is where it was opened."""
        here = self.closing()
        if here in ("&", "\\\\"):
            return self.error(
                f"{here} stands within braces or brackets: it is for the rows of aligned, cases,"
                " matrix and their like"
            )
        return self.error(reason, start)

    def environment(self, start: int) -> Formula:
        name = self.raw_argument().strip()
        bare = name.removesuffix("*")
        if bare in names.MATRICES:
            return self.matrix(name, bare, start)
        if bare in ("cases", "dcases", "rcases"):
            kind = "rcases" if bare == "rcases" else "cases"
            return [kind, self.cells(name, start)[0]]
        if bare == "array":
            return self.array(name, start)
        if bare in names.ALIGNED:
            self.optional_argument()
            if bare in ("alignat", "alignedat"):
                self.raw_argument()
            rows, _ = self.cells(name, start)
            return ["rows", rows, 0.65]
        if bare in ("subarray",):
            self.raw_argument()
            return ["rows", self.cells(name, start)[0], 0.2]
        if bare in ("tikzpicture", "tikzcd", "CD"):
            instead = "make a diagram scene of it"
        elif bare in ("tabular", "table", "itemize", "enumerate"):
            instead = "write it as a table or list outside of the formula, or use array"
        else:
            instead = "aligned, gathered, cases, array and the matrices are"
        raise self.error(f"the environment {name!r} is not known: {instead}", start)

    def matrix(self, name: str, bare: str, start: int) -> Formula:
        self.optional_argument()
        rows, lines = self.cells(name, start)
        return ["mat", list(names.MATRICES[bare]), _even(rows), {"h": lines, "v": [], "cols": ""}]

    def array(self, name: str, start: int) -> Formula:
        self.optional_argument()
        at = self.at
        columns, bars = "", []
        spec = self.raw_argument()
        place = 0
        while place < len(spec):
            found = _COLUMN.match(spec, place)
            if not found or not found[0]:
                raise self.error(f"{spec[place]!r} is no column: l, c, r and | are", at)
            place = found.end()
            repeated = (found[4] or "") * min(int(found[3] or 0), MOST_COLUMNS)
            for sign in repeated or found[1] or found[2] or ("l" if found[0][0] in "pmb" else ""):
                if sign in "|:":
                    bars.append(len(columns))
                else:
                    columns += sign
        rows, lines = self.cells(name, start)
        rows = _even(rows)
        width = len(rows[0])
        columns = (columns + "c" * width)[:width]
        shape = {"h": lines, "v": sorted({bar for bar in bars if bar <= width}), "cols": columns}
        return ["mat", ["", ""], rows, shape]

    def cells(self, name: str, start: int) -> tuple[list[list[Formula]], list[int]]:
        """The rows up to the environment's end, and above which of them lines are drawn."""
        rows: list[list[Formula]] = [[]]
        lines: list[int] = []
        self.rules(lines, 0)
        while True:
            rows[-1].append(self.sequence(""))
            if self.take_match(ROW_END):
                rows.append([])
                self.rules(lines, len(rows) - 1)
            elif not self.take("&"):
                break
        if not self.take("\\end"):
            raise self.unclosed(f"\\begin{{{name}}} has no \\end{{{name}}}", start)
        at = self.at
        if self.raw_argument().strip() != name:
            raise self.error(f"\\begin{{{name}}} has no \\end{{{name}}}", at)
        if rows[-1] == [EMPTY] and len(rows) > 1:
            rows.pop()  # after a last \\
        if max(map(len, rows)) > MOST_COLUMNS or len(rows) > MOST_ROWS:
            raise self.error(f"at most {MOST_ROWS} rows and {MOST_COLUMNS} columns", start)
        return rows, sorted({line for line in lines if line <= len(rows)})

    def rules(self, lines: list[int], row: int) -> None:
        while self.take_match(_LINE):
            lines.append(row)

    def substack(self) -> Formula:
        self.skip_space()
        start = self.at
        if not self.take("{"):
            raise self.error("a { is expected here")
        rows = [[self.sequence("}")]]
        while self.take_match(ROW_END):
            rows.append([self.sequence("}")])
        if not self.take("}"):
            raise self.unclosed("a { is never closed", start)
        return ["rows", rows, 0.2]


def _even(rows: list[list[Formula]]) -> list[list[Formula]]:
    widest = max(map(len, rows))
    return [row + [EMPTY] * (widest - len(row)) for row in rows]
