"""Lay out a scene with the function for its type."""

from __future__ import annotations

from collections.abc import Mapping

from PIL.Image import Image

from models.formulas.inline import printed_letters
from models.schemas import drawn_scenes, lesson
from models.slides.canvas import Canvas
from models.slides.scenes import text
from models.slides.scenes.code import draw_code
from models.slides.scenes.diagram import draw_diagram
from models.slides.scenes.equation import draw_equation
from models.slides.scenes.picture import draw_picture
from models.slides.scenes.plot import draw_plot
from models.slides.scenes.quiz import draw_quiz
from models.slides.scenes.quote import draw_quote
from models.slides.scenes.table import draw_table
from models.slides.timeline import SceneTimeline
from models.text.glyphs import require_glyphs
from models.typesetting.plain_text import sanitize_text


def layout_scene(scene: lesson.Scene, canvas: Canvas, images: Mapping[str, Image]) -> SceneTimeline:
    """Lay ``scene`` out on ``canvas``; ``images`` are RGB, by name.

    Raises:
        LessonError: the scene cannot be drawn: SceneDoesNotFit, BadEquation, BadFunction,
            BadDiagram, MissingImage, UnsupportedCharacters.
    """
    if min(canvas.width, canvas.height) < 320:
        raise ValueError(f"a stage of {canvas.width}x{canvas.height} is too small: 320 at least")
    for part, content in _scene_texts(scene):
        require_glyphs(sanitize_text(printed_letters(content)), part)
    if isinstance(scene, lesson.TitleScene):
        return text.draw_title(scene, canvas)
    if isinstance(scene, lesson.BulletsScene):
        return text.draw_bullets(scene, canvas)
    if isinstance(scene, lesson.StepsScene):
        return text.draw_steps(scene, canvas)
    if isinstance(scene, lesson.QuizScene):
        return draw_quiz(scene, canvas)
    if isinstance(scene, drawn_scenes.EquationScene):
        return draw_equation(scene, canvas)
    if isinstance(scene, drawn_scenes.PlotScene):
        return draw_plot(scene, canvas)
    if isinstance(scene, drawn_scenes.DiagramScene):
        return draw_diagram(scene, canvas)
    if isinstance(scene, lesson.TableScene):
        return draw_table(scene, canvas)
    if isinstance(scene, lesson.CodeScene):
        return draw_code(scene, canvas)
    if isinstance(scene, lesson.QuoteScene):
        return draw_quote(scene, canvas)
    return draw_picture(scene, canvas, images)


_PLAIN_PARTS = (
    *("title", "subtitle", "heading", "caption", "question", "x_label", "y_label", "label", "code"),
)
_LISTS = {"bullets": "bullet", "steps": "step", "choices": "choice", "quotes": "quote",
          "header": "column"}  # fmt: skip


def _scene_texts(scene: lesson.Scene) -> list[tuple[str, str]]:
    """Return every visible text with the name of its part."""
    texts = [(f"the {part}", getattr(scene, part, "")) for part in _PLAIN_PARTS]
    for field, name in _LISTS.items():
        texts += [(f"{name} {i + 1}", text) for i, text in enumerate(getattr(scene, field, ()))]
    if isinstance(scene, drawn_scenes.DiagramScene):
        texts += [(f"node {node.id}", node.label) for node in scene.nodes]
        texts += [(f"the edge {e.source} to {e.target}", e.label) for e in scene.edges]
    if isinstance(scene, lesson.TableScene):
        texts += [(f"row {i + 1}", " ".join(row)) for i, row in enumerate(scene.rows)]
    if isinstance(scene, drawn_scenes.PlotScene):
        texts += [(f"bar {i + 1}", bar.label) for i, bar in enumerate(scene.bars)]
    return texts
