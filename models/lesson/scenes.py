"""From a scene's type to the one that draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.lesson import script
from models.lesson.fonts import require_glyphs
from models.lesson.plain_text import sanitize_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.lesson.stage import Canvas
    from models.lesson.timeline import SceneTimeline


def draw_scene(scene: script.Scene, canvas: Canvas, images: Mapping[str, Image]) -> SceneTimeline:
    """See :func:`models.lesson.stage.prepare_scene`."""
    from models.lesson import scenes_text as text

    if min(canvas.width, canvas.height) < 320:
        raise ValueError(f"a stage of {canvas.width}x{canvas.height} is too small: 320 at least")
    for part, words in _scene_texts(scene):
        require_glyphs(sanitize_text(words), part)
    if isinstance(scene, script.TitleScene):
        return text.draw_title(scene, canvas)
    if isinstance(scene, script.BulletsScene):
        return text.draw_bullets(scene, canvas)
    if isinstance(scene, script.StepsScene):
        return text.draw_steps(scene, canvas)
    if isinstance(scene, script.QuizScene):
        from models.lesson.scenes_quiz import draw_quiz

        return draw_quiz(scene, canvas)
    if isinstance(scene, script.EquationScene):
        from models.lesson.scenes_equation import draw_equation

        return draw_equation(scene, canvas)
    if isinstance(scene, script.PlotScene):
        from models.lesson.scenes_plot import draw_plot

        return draw_plot(scene, canvas)
    if isinstance(scene, script.DiagramScene):
        from models.lesson.scenes_diagram import draw_diagram

        return draw_diagram(scene, canvas)
    from models.lesson.scenes_picture import draw_picture

    return draw_picture(scene, canvas, images)


_PLAIN_PARTS = ("title", "subtitle", "heading", "caption", "question", "x_label", "y_label")
_LISTS = {"bullets": "bullet", "steps": "step", "choices": "choice"}


def _scene_texts(scene: script.Scene) -> list[tuple[str, str]]:
    """Every text that is shown, with the name of the part it belongs to."""
    found = [(f"the {part}", getattr(scene, part, "")) for part in _PLAIN_PARTS]
    for field, name in _LISTS.items():
        found += [(f"{name} {i + 1}", text) for i, text in enumerate(getattr(scene, field, ()))]
    if isinstance(scene, script.DiagramScene):
        found += [(f"node {node.id}", node.label) for node in scene.nodes]
        found += [(f"the edge {e.source} to {e.target}", e.label) for e in scene.edges]
    if isinstance(scene, script.PlotScene):
        found += [(f"bar {i + 1}", bar.label) for i, bar in enumerate(scene.bars)]
    return found
