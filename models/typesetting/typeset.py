"""Typeset text and equations into coverage masks with Typst.

Typst compiles one source file of ours (``typeset.typ``) with JSON input, in an empty folder,
without packages, using only the fonts shipped here and inside the ``typst`` wheel. User text is
therefore inert, and limits on its length bound the compile time.
"""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.formulas.inline import plain_line, split_formulas
from models.formulas.tree import Formula
from models.typesetting.fonts import FOLDER, font_families
from models.typesetting.plain_text import (
    is_rtl,
    sanitize_text,
    with_break_points,
    with_direction,
)

Mask = NDArray[np.uint8]


_SOURCE = Path(__file__).with_name("typeset.typ")
_lock = threading.Lock()


class TypesetterFailed(RuntimeError):
    """The typesetter failed on input that should be harmless: a bug in this package."""


class TypesetterMissing(RuntimeError):
    """The ``typst`` package is not installed: install the extra ``study``."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, sized in pixels. ``width`` wraps it (``None``: one line); ``weight`` is 400 or
    700. Formulas in ``text`` stand between ``\\(`` and ``\\)``, unless it is code.
    """

    text: str
    size: float
    width: float | None = None
    weight: int = 400
    align: str = "start"  # start, center, end, left, right; start is right in right-to-left text
    serif: bool = False
    mono: bool = False  # a typewriter's face: code


@dataclass(frozen=True)
class Equation:
    """The terms of one equation row. Only ``visible_term`` is drawn; the others keep space."""

    terms: tuple[Formula, ...]
    size: float
    visible_term: int | None = None


@dataclass(frozen=True, eq=False)
class TextMask:
    """A typeset block: ``mask`` is uint8 coverage of shape (rows, columns), 0..255, cropped to the
    ink.

    ``left`` and ``top`` locate the mask inside the block, which is ``width`` x ``height`` pixels;
    they are negative for marks that extend beyond their line. ``width`` spans from the block's left
    to the end of the widest line. ``has_broken_word`` tells that a word was too wide and breaks
    over two lines.
    """

    mask: Mask
    left: int
    top: int
    width: int
    height: int
    has_broken_word: bool = False

    @property
    def right(self) -> int:
        return self.left + self.mask.shape[1]

    @property
    def bottom(self) -> int:
        return self.top + self.mask.shape[0]


def typeset(blocks: Sequence[Paragraph | Equation], language: str = "en") -> list[TextMask]:
    """Typeset each of ``blocks`` into a mask, at one pixel per typographic point.

    A word wider than its block is broken, so that nothing exceeds a given width.

    Raises:
        UnsupportedCharacters: no shipped font has some of the characters.
        TypesetterMissing: the ``typst`` package is not installed.
    """
    if not blocks:
        return []
    masks = _typeset_entries([_entry(block, language) for block in blocks], language)
    # Words wider than their line are broken; the shorter ones only where that is not enough.
    for longest in (9, 4, 1):
        wide = [n for n, block in enumerate(blocks) if _overflows(masks[n], block)]
        again = [_entry(blocks[n], language, longest) for n in wide]
        for n, mask in zip(wide, _typeset_entries(again, language) if wide else [], strict=True):
            masks[n] = replace(mask, has_broken_word=True)
    # A formula that is too wide for its line is set as text, which can be broken.
    wide = [n for n, block in enumerate(blocks) if _overflows(masks[n], block)]
    for n in wide:
        block = blocks[n]
        if isinstance(block, Paragraph) and plain_line(block.text) != block.text:
            masks[n] = typeset([replace(block, text=plain_line(block.text))], language)[0]
    return masks


def _overflows(text_mask: TextMask, block: Paragraph | Equation) -> bool:
    width = block.width if isinstance(block, Paragraph) else None
    return width is not None and (text_mask.right > width + 1 or text_mask.left < -1)


def _entry(
    block: Paragraph | Equation, language: str, longest_word: int | None = None
) -> dict[str, Any]:
    pad = max(2, round(block.size * 0.6))
    if isinstance(block, Equation):
        terms: dict[str, Any] = {
            "terms": [_sanitized(term) for term in block.terms],
            "shown": block.visible_term,
            "width": None,
        }
        return {"kind": "math", "size": block.size, "pad": pad, **terms}
    runs: list[str | Formula] = [sanitize_text(block.text)]
    if not block.mono:
        runs = split_formulas(str(runs[0]))
    words = "".join(run for run in runs if isinstance(run, str))
    rtl = not block.mono and is_rtl(words, language)
    if longest_word:
        runs = [_parted(run, longest_word) for run in runs]
    if len(runs) == 1 and isinstance(runs[0], str):
        runs = [with_direction(runs[0], rtl)]
    elif with_direction(words or "1", rtl) != (words or "1"):
        runs = ["\u2066", *runs, "\u2069"]
    return {
        "kind": "text",
        "runs": [run if isinstance(run, str) else _flat(_sanitized(run)) for run in runs],
        "size": block.size,
        "pad": pad,
        "width": block.width,
        "weight": block.weight,
        "align": block.align,
        "serif": block.serif,
        "mono": block.mono,
        "rtl": rtl,
    }


def _parted(run: str | Formula, longest_word: int) -> str | Formula:
    return with_break_points(run, longest_word) if isinstance(run, str) else run


def _flat(tree: Formula) -> Formula:
    """Return ``tree`` with limits beside their sums, as they stand within a line."""
    parts = [_flat(part) if isinstance(part, list) else part for part in tree]
    return [*parts[:4], False] if parts[:1] == ["attach"] else parts


def _sanitized(tree: Formula) -> Formula:
    """Return ``tree`` with its words as :func:`sanitize_text` makes them."""
    if tree and tree[0] in ("text", "op"):
        return [tree[0], sanitize_text(tree[1]), *tree[2:]]
    return [_sanitized(part) if isinstance(part, list) else part for part in tree]


def _typeset_entries(entries: list[dict[str, Any]], language: str) -> list[TextMask]:
    lang, region = _language(language)
    data = {
        "blocks": entries,
        "lang": lang,
        "region": region,
        "fonts": font_families(lang),
        "cjk": lang in ("zh", "ja", "ko", "yue"),
    }
    pages = _compile(json.dumps(data, ensure_ascii=False))
    if len(pages) != len(entries):
        raise TypesetterFailed(f"{len(entries)} blocks came out as {len(pages)} pages")
    return [_text_mask(page, entry) for page, entry in zip(pages, entries, strict=True)]


def _language(tag: str) -> tuple[str, str | None]:
    parts = tag.split("-")
    region = next((part.upper() for part in parts[1:] if len(part) == 2 and part.isalpha()), None)
    if parts[0].lower() == "zh" and region is None:
        region = "TW" if "hant" in tag.lower() else "CN"
    return parts[0].lower(), region


def _compile(data: str) -> list[bytes]:
    try:
        import typst
    except ImportError as error:
        raise TypesetterMissing(
            "install the extra `study`: pip install 'atelier[study]'"
        ) from error
    with tempfile.TemporaryDirectory() as empty:
        try:
            compiler = typst.Compiler(
                _SOURCE.read_bytes(),
                root=empty,
                font_paths=_fonts(),
                ignore_system_fonts=True,
                sys_inputs={"data": data},
                package_path=empty,
                package_cache_path=empty,
            )
            pages = compiler.compile(format="png", ppi=72)
        except typst.TypstError as error:
            raise TypesetterFailed(str(error)) from error
        except BaseException as error:
            # A panic inside the typesetter arrives as a BaseException of pyo3's.
            if type(error).__name__ == "PanicException":
                raise TypesetterFailed("the typesetter broke") from error
            raise
    return [page for page in (pages if isinstance(pages, list) else [pages]) if page]


def _fonts() -> Any:
    with _lock:
        return _loaded_fonts()


@lru_cache(maxsize=1)
def _loaded_fonts() -> Any:
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(FOLDER)])


def _text_mask(page: bytes, entry: dict[str, Any]) -> TextMask:

    with Image.open(io.BytesIO(page)) as image:
        mask = np.asarray(image.convert("RGBA").getchannel("A"))
    pad = int(entry["pad"])
    height = mask.shape[0] - 2 * pad
    inked = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(inked[0]):
        return TextMask(np.zeros((0, 0), np.uint8), 0, 0, 0, height)
    (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in inked)
    cut = np.ascontiguousarray(mask[top:bottom, left:right])
    width = mask.shape[1] - 2 * pad if entry["width"] is None else right - pad
    return TextMask(cut, left - pad, top - pad, width, height)
