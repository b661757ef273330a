"""Draw diagrams: boxes that appear one after another, and arrows between them."""

from __future__ import annotations

from models.formulas.errors import GraphError
from models.formulas.graphs import number_nodes
from models.schemas.drawn_scenes import DiagramScene
from models.slides.canvas import Canvas
from models.slides.composer import Composer, ink_height
from models.slides.errors import BadDiagram, SceneDoesNotFit
from models.slides.layout import Box
from models.slides.plotting.graph_layout import GraphEdge, GraphLayout, layout_graph
from models.slides.shapes import Point, Stroke, mix_colors
from models.slides.timeline import SceneTimeline, TimelineEntry
from models.typesetting.plain_text import is_rtl, sanitize_text
from models.typesetting.typeset import Paragraph, TextMask

_SCALES = (1.15, 1.0, 0.88, 0.76, 0.66, 0.58)
# The widths of a label's line in em at scale 1, and whether words must stay whole.
_WRAPS = ((34, True), (24, True), (48, True), (17, True), (12, True), (24, False), (48, False))


def draw_diagram(scene: DiagramScene, canvas: Canvas) -> SceneTimeline:
    """Lay out a diagram. Each node is a beat; an edge appears once both its nodes are visible."""
    numbers = _node_numbers(scene)
    composer = Composer(canvas)
    area = composer.add_heading(scene.heading)
    drawing, text_masks, labels, size = _fit_graph(composer, scene, numbers, area)
    if scene.direction != "right" and _is_rtl(scene, canvas):
        drawing = drawing.mirrored()
    x = area.x + (area.width - drawing.size[0]) / 2
    y = area.y + (area.height - drawing.size[1]) / 2
    em, theme = composer.em, composer.theme
    for index, (box, text_mask) in enumerate(zip(drawing.nodes, text_masks, strict=True)):
        place = Box(round(x + box.x), round(y + box.y), round(box.width), round(box.height))
        accent = theme.accents[drawing.ranks[index] % len(theme.accents)]
        slide = (0.0, 1.6 * em)
        fill = mix_colors(theme.panel, accent, 0.14)
        composer.add_panel(place, f"node {index + 1}", color=fill, beat=index, slide=slide)
        composer.add_panel(
            place, f"edge of node {index + 1}", color=accent, beat=index, line=0.4 * em,
            slide=slide,
        )  # fmt: skip
        left = place.center[0] - text_mask.left - text_mask.mask.shape[1] / 2
        top = place.center[1] - ink_height(text_mask) / 2 - min(text_mask.top, 0)
        composer.add_text(text_mask, left, top, f"label {index + 1}", beat=index, slide=slide)
    for index, (edge, route) in enumerate(zip(scene.edges, drawing.routes, strict=True)):
        beat = max(numbers[edge.source], numbers[edge.target])
        lines = [tuple((x + px, y + py) for px, py in line) for line in route.lines]
        _arrow(composer, lines, f"arrow {index + 1}", beat, size)
        word = labels.get(index)
        if route.label is not None and word is not None:
            left = x + route.label.center[0] - word.left - word.mask.shape[1] / 2
            top = y + route.label.center[1] - word.top - word.mask.shape[0] / 2
            composer.add_text(
                word, left, top, f"word {index + 1}", beat=beat, delay=0.5, color=theme.muted,
                slide=(0, 0),
            )  # fmt: skip
    return composer.build_timeline(len(scene.nodes))


def _is_rtl(scene: DiagramScene, canvas: Canvas) -> bool:
    labels = sanitize_text(" ".join(node.label for node in scene.nodes))
    return is_rtl(labels, canvas.language)


def _arrow(
    composer: Composer, lines: list[tuple[Point, ...]], name: str, beat: int, size: float
) -> None:
    delay = 0.3
    for number, line in enumerate(lines, 1):
        last = number == len(lines)
        stroke = Stroke(
            line, 0.5 * composer.em, composer.theme.muted, arrow_size=0.62 * size if last else 0.0
        )
        seconds = 0.6 / len(lines)
        composer.entries.append(TimelineEntry(stroke, beat, name, delay=delay, seconds=seconds))
        delay += seconds


def _node_numbers(scene: DiagramScene) -> dict[str, int]:
    try:
        ids = [node.id for node in scene.nodes]
        return number_nodes(ids, [(edge.source, edge.target) for edge in scene.edges])
    except GraphError as error:
        raise BadDiagram(str(error)) from error


def _fit_graph(
    composer: Composer, scene: DiagramScene, numbers: dict[str, int], area: Box
) -> tuple[GraphLayout, list[TextMask], dict[int, TextMask], float]:
    """Find the largest type at which the graph fits, in both directions and several widths."""
    em = composer.em
    along_width = area.width >= area.height
    directions = {"right": [False], "down": [True]}.get(
        scene.direction, [not along_width, along_width]
    )
    worded = [index for index, edge in enumerate(scene.edges) if edge.label]
    for scale in _SCALES:
        size = 4.2 * em * scale
        edge_labels = composer.typeset(
            [Paragraph(scene.edges[i].label, 0.8 * size) for i in worded]
        )
        labels = dict(zip(worded, edge_labels, strict=True))
        for wrap, whole in _WRAPS:
            width = wrap * em * scale
            blocks = [Paragraph(node.label, size, width, align="center") for node in scene.nodes]
            text_masks = composer.typeset(blocks)
            if whole and any(text_mask.has_broken_word for text_mask in text_masks):
                continue
            sizes = [
                (text_mask.mask.shape[1] + 1.8 * size, ink_height(text_mask) + 0.9 * size)
                for text_mask in text_masks
            ]
            links = [
                GraphEdge(
                    numbers[edge.source], numbers[edge.target], _label_size(labels.get(i), size)
                )
                for i, edge in enumerate(scene.edges)
            ]
            for down in directions:
                drawing = _stretch_layout(sizes, links, down, size, area)
                if drawing:
                    return drawing, text_masks, labels, size
    raise SceneDoesNotFit(
        "the diagram is too large for this frame: use fewer nodes, shorter labels, or two scenes"
    )


def _label_size(word: TextMask | None, size: float) -> tuple[float, float] | None:
    if word is None:
        return None
    return word.mask.shape[1] + 0.7 * size, word.mask.shape[0] + 0.5 * size


def _stretch_layout(
    sizes: list[tuple[float, float]], links: list[GraphEdge], down: bool, size: float, area: Box
) -> GraphLayout | None:
    """Spread the boxes over ``area``; return ``None`` if they do not fit at all."""
    for air in (2.0, 1.5, 1.2, 1.0, 0.8, 0.6):
        drawing = layout_graph(
            sizes, links, down=down, gap=0.9 * size * air, rank_gap=1.9 * size * air
        )
        if drawing.size[0] <= area.width and drawing.size[1] <= area.height:
            return drawing
    return None
