"""Define the color and type of each theme, by name."""

from __future__ import annotations

from dataclasses import dataclass

from models.schemas.lesson import ThemeName

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """The look of a lesson. ``accents`` color curves, nodes and numbers in turn, the main one
    first.

    ``background`` and ``background_end`` are the colors at the top and at the bottom; ``panel``
    fills boxes, ``line`` draws axes and frames. ``texture`` covers the background. ``serif`` sets
    headings in a serif face where one has the script.
    """

    name: ThemeName
    background: Color
    background_end: Color
    text: Color
    muted: Color
    panel: Color
    line: Color
    accents: tuple[Color, ...]
    correct: Color
    texture: str = "none"
    serif: bool = False


THEMES: dict[str, Theme] = {
    theme.name: theme
    for theme in (
        Theme(
            name="light",
            background=(255, 255, 255),
            background_end=(239, 243, 250),
            text=(24, 32, 48),
            muted=(92, 104, 126),
            panel=(255, 255, 255),
            line=(196, 205, 220),
            accents=((37, 99, 235), (225, 83, 42), (13, 148, 116), (147, 51, 190)),
            correct=(22, 150, 74),
        ),
        Theme(
            name="dark",
            background=(17, 22, 36),
            background_end=(28, 36, 58),
            text=(238, 242, 250),
            muted=(158, 170, 194),
            panel=(38, 48, 74),
            line=(82, 96, 130),
            accents=((94, 190, 255), (255, 176, 87), (116, 226, 165), (224, 150, 255)),
            correct=(92, 220, 130),
        ),
        Theme(
            name="chalkboard",
            background=(38, 66, 55),
            background_end=(30, 54, 45),
            text=(243, 242, 232),
            muted=(188, 203, 190),
            panel=(46, 78, 66),
            line=(136, 160, 145),
            accents=((255, 222, 117), (255, 164, 148), (160, 217, 239), (196, 232, 152)),
            correct=(170, 236, 140),
            texture="chalk",
        ),
        Theme(
            name="paper",
            background=(250, 245, 233),
            background_end=(245, 237, 219),
            text=(52, 42, 34),
            muted=(120, 104, 88),
            panel=(255, 252, 244),
            line=(206, 190, 164),
            accents=((170, 58, 42), (38, 92, 128), (84, 118, 46), (134, 84, 140)),
            correct=(70, 124, 44),
            texture="grain",
            serif=True,
        ),
        Theme(
            name="blueprint",
            background=(22, 58, 112),
            background_end=(15, 44, 92),
            text=(240, 246, 255),
            muted=(168, 194, 232),
            panel=(29, 72, 134),
            line=(108, 146, 204),
            accents=((255, 214, 102), (124, 226, 240), (255, 160, 150), (180, 236, 160)),
            correct=(150, 240, 150),
            texture="grid",
        ),
    )
}
