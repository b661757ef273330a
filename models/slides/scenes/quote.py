"""Draw a quote: its paragraphs beside a bar."""

from __future__ import annotations

from models.schemas.lesson import QuoteScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.layout import Box
from models.slides.scenes.text import add_list_item, layout_list
from models.slides.timeline import SceneTimeline


def draw_quote(scene: QuoteScene, canvas: Canvas) -> SceneTimeline:
    """Lay out the paragraphs of a quote, which appear one after another, below its label."""
    composer = Composer(canvas)
    body, em = composer.add_heading(scene.heading), composer.em
    label, used = None, 0.0
    if scene.label:
        label, _ = composer.fit_paragraph(
            scene.label, 4.2 * em, body.width, 0.12 * body.height, "the label", weight=700
        )
        used = ink_height(label) + 1.6 * em
        body = Box(body.x, body.y + used, body.width, body.height - used)
    plan = layout_list(composer, scene.quotes, body, indent=1.1, part="quote", columns=False)
    if label is not None:
        first = plan.items[0]
        x = body.right - label.right if first.rtl else body.x
        composer.add_text(
            label, x, first.box.y - used - min(label.top, 0), "label",
            color=composer.theme.accents[1],
        )  # fmt: skip
    for spot in plan.items:
        width = 0.22 * plan.size
        x = spot.box.right - width if spot.rtl else spot.box.x
        bar = Box(x, spot.box.y, width, spot.box.height)
        composer.add_panel(
            bar, f"mark {spot.index + 1}", color=composer.theme.accents[1], radius=width / 2,
            beat=spot.index, page=spot.page,
        )  # fmt: skip
        add_list_item(composer, spot, f"quote {spot.index + 1}")
    return composer.build_timeline(len(scene.quotes), plan.pages)
