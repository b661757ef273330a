"""Draw quizzes: a question, choices on cards, a countdown, the answer."""

from __future__ import annotations

from models.schemas.lesson import QuizScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import SceneDoesNotFit
from models.slides.layout import MIN_TEXT_SIZE, SCALES, Box
from models.slides.shapes import CountdownRing, DimOverlay, Stroke
from models.slides.timeline import SceneTimeline, TimelineEntry
from models.typesetting.plain_text import is_rtl, sanitize_text
from models.typesetting.typeset import Paragraph, TextMask

_LETTERS = "ABCDEF"


def draw_quiz(scene: QuizScene, canvas: Canvas) -> SceneTimeline:
    """Lay out a quiz. Its beats are the choices and then the answer; the countdown precedes the
    answer.
    """
    composer = Composer(canvas)
    em, safe, theme = composer.em, composer.safe, composer.theme
    question, radius, (cards, inks, size) = _fit_quiz(composer, scene)
    composer.add_text(question, safe.x, safe.y - min(question.top, 0), "question")
    answer = len(scene.choices)
    letters = composer.typeset(
        [Paragraph(_LETTERS[n], 0.8 * size, weight=700) for n in range(answer)]
    )
    for n, (card, ink, letter) in enumerate(zip(cards, inks, letters, strict=True)):
        _card(composer, n, card, ink, letter, size, _is_rtl(composer, scene.choices[n]))
    right = scene.choices[scene.answer]
    _reveal_answer(composer, cards, scene.answer, size, _is_rtl(composer, right))
    digits = composer.typeset(
        [
            Paragraph(str(n), 1.0 * radius, weight=700)
            for n in range(int(-(-scene.pause_s // 1)) + 1)
        ]
    )
    center = (canvas.width / 2, safe.bottom + 2 * em - radius - em)
    ring = CountdownRing(
        center, radius, theme.accents[0], theme.line, tuple(ink.mask for ink in digits),
        scene.pause_s, theme.text,
    )  # fmt: skip
    pause = scene.pause_s
    composer.entries.append(TimelineEntry(ring, answer, "countdown", delay=-pause, seconds=pause))
    return composer.build_timeline(answer + 1)


def _is_rtl(composer: Composer, text: str) -> bool:
    return is_rtl(sanitize_text(text), composer.canvas.language)


_Cards = tuple[list[Box], list[TextMask], float]


def _fit_quiz(composer: Composer, scene: QuizScene) -> tuple[TextMask, float, _Cards]:
    """Fit the question, the countdown's radius and the cards; the question and countdown shrink
    first.
    """
    em, safe = composer.em, composer.safe
    for scale in (1.0, 0.84, 0.7, 0.56):
        radius = 6 * em * scale
        question, _ = composer.fit_paragraph(
            scene.question, 6.2 * em * scale, safe.width, 0.4 * safe.height, "the question",
            weight=700,
        )  # fmt: skip
        top = safe.y + ink_height(question) + 3 * em * scale
        room = Box(safe.x, top, safe.width, safe.bottom - em - 2 * radius - top)
        cards = _cards(composer, scene.choices, room)
        if cards:
            return question, radius, cards
    raise SceneDoesNotFit("the question and its choices are too long for this frame: shorten them")


def _cards(composer: Composer, choices: tuple[str, ...], room: Box) -> _Cards | None:
    em = composer.em
    for scale in (*SCALES, MIN_TEXT_SIZE / 4.8):
        size, gap = 4.8 * em * scale, 2.2 * em * scale
        for columns in (1, 2):
            width = (room.width - gap * (columns - 1)) / columns
            inks = composer.typeset(
                [Paragraph(c, size, width - 3 * size - 3.6 * em) for c in choices]
            )
            rows = -(-len(choices) // columns)
            height = max(max(map(ink_height, inks)), 1.35 * size) + 0.9 * size
            total = rows * height + (rows - 1) * gap
            if total > room.height:
                continue
            top = room.y + min((room.height - total) / 2, 6 * em)
            rtl = _is_rtl(composer, " ".join(choices))  # then the first column is on the right
            boxes = [
                Box(
                    room.x + (columns - 1 - n % columns if rtl else n % columns) * (width + gap),
                    top + (n // columns) * (height + gap),
                    width,
                    height,
                )
                for n in range(len(choices))
            ]
            return boxes, inks, size
    return None


def _card(
    composer: Composer, n: int, card: Box, ink: TextMask, letter: TextMask, size: float, rtl: bool
) -> None:
    em, theme = composer.em, composer.theme
    slide = (0.0, 1.6 * em)
    composer.add_panel(card, f"card {n + 1}", color=theme.panel, beat=n, slide=slide)
    composer.add_panel(card, f"edge {n + 1}", color=theme.line, beat=n, line=0.3 * em, slide=slide)
    side = 1.35 * size
    x = card.right - 1.4 * em - side if rtl else card.x + 1.4 * em
    disc = Box(x, card.center[1] - side / 2, side, side)
    composer.add_panel(
        disc, f"disc {n + 1}", color=theme.accents[0], beat=n, radius=side, slide=slide
    )
    place = composer.add_text
    place(
        letter, disc.center[0] - letter.left - letter.mask.shape[1] / 2,
        disc.center[1] - letter.top - letter.mask.shape[0] / 2, f"letter {n + 1}", beat=n,
        color=theme.background, slide=slide,
    )  # fmt: skip
    text = card.x + 2.2 * em + 1.05 * size if rtl else disc.right + 0.6 * size
    middle = card.center[1] - ink_height(ink) / 2 - min(ink.top, 0)
    place(ink, text, middle, f"choice {n + 1}", beat=n, slide=slide)


def _reveal_answer(
    composer: Composer, cards: list[Box], right: int, size: float, rtl: bool
) -> None:
    em, theme, answer = composer.em, composer.theme, len(cards)
    for n, card in enumerate(cards):
        if n != right:
            veil = DimOverlay(card.expanded(1), composer.background)
            composer.entries.append(TimelineEntry(veil, answer, f"veil {n + 1}"))
    card = cards[right]
    composer.add_panel(card, "right", color=theme.correct, beat=answer, line=0.7 * em)
    side = 0.62 * size
    x = card.x + 2.2 * em if rtl else card.right - 2.2 * em - side
    y = card.center[1]
    tick = ((x, y), (x + side * 0.36, y + side * 0.34), (x + side, y - side * 0.4))
    stroke = Stroke(tick, 0.9 * em, theme.correct)
    composer.entries.append(TimelineEntry(stroke, answer, "tick", delay=0.15, seconds=0.35))
