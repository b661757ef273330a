"""Scenes over time: what comes when, pages, pauses; the same moment is always the same picture."""

import threading
from itertools import combinations

import numpy as np
import pytest
from pydantic import TypeAdapter

from models.schemas.lesson import QuizScene, Scene
from models.slides.canvas import Canvas
from models.slides.layout import Box
from models.slides.pacing import min_scene_seconds, spread_beats
from models.slides.plotting.graph_layout import GraphEdge, layout_graph
from models.slides.plotting.ticks import axis_ticks, tick_label
from models.slides.render import layout_scene
from models.slides.theme import THEMES
from tests.support.boxes import inside, overlap

STAGE = Canvas(640, 360, 25, THEMES["light"])
_scene: TypeAdapter[Scene] = TypeAdapter(Scene)
SCENES = [
    {"type": "title", "title": "A title", "subtitle": "and more"},
    {"type": "bullets", "heading": "Points", "bullets": ["one", "two", "three"]},
    {"type": "equation", "terms": ["a^2", "+ b^2", "= c^2"]},
    {"type": "plot", "functions": ["sin(x)", "x"]},
    {"type": "plot", "bars": [{"label": "a", "value": 3}, {"label": "b", "value": -2}]},
    {"type": "plot", "points": [{"x": i, "y": i * i} for i in range(5)]},
    {"type": "diagram", "nodes": [{"id": i, "label": i} for i in "abc"],
     "edges": [{"from": "a", "to": "b", "label": "to"}, {"from": "b", "to": "c"}]},
    {"type": "steps", "steps": ["one", "two"]},
    {"type": "quiz", "question": "Which?", "choices": ["this", "that"], "answer": 1},
]  # fmt: skip


def scene(value: object) -> Scene:
    return _scene.validate_python(value)


@pytest.mark.parametrize("value", SCENES, ids=lambda value: str(value["type"]))
def test_every_beat_brings_something_and_then_rests(value: object) -> None:
    drawing = layout_scene(scene(value), STAGE, {})
    times = [2.0 + 3.0 * beat for beat in range(drawing.beats)]
    seconds = times[-1] + 3
    before = drawing.frame(1.9, seconds, times)
    assert before.shape == (360, 640, 3) and before.dtype == np.uint8
    for time in times:
        during = drawing.frame(time + 0.2, seconds, times)
        after = drawing.frame(time + 2.9, seconds, times)
        assert (before != during).any() and (during != after).any()
        before = after
    assert np.array_equal(before, drawing.frame(seconds, seconds, times))


def test_a_moment_is_the_same_in_any_order_and_from_any_thread() -> None:
    drawing = layout_scene(scene(SCENES[6]), STAGE, {})
    times = spread_beats(scene(SCENES[6]), drawing.beats, 6)
    moments = [index * 0.1 for index in range(60)]
    forward = [drawing.frame(t, 6, times) for t in moments]
    again = layout_scene(scene(SCENES[6]), STAGE, {})
    wrong: list[float] = []

    def look(order: list[int]) -> None:
        for index in order:
            if not np.array_equal(again.frame(moments[index], 6, times), forward[index]):
                wrong.append(moments[index])

    orders = [list(range(60))[::-1], list(range(60)), [i * 7 % 60 for i in range(60)]]
    threads = [threading.Thread(target=look, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_frame_cannot_be_changed_by_who_gets_it() -> None:
    drawing = layout_scene(scene(SCENES[1]), STAGE, {})
    with pytest.raises(ValueError, match="read-only"):
        drawing.frame(9, 9, (1, 2, 3))[0, 0] = 0
    with pytest.raises(ValueError, match="2 times for 3 beats"):
        drawing.frame(0, 9, (1, 2))


def test_a_curve_is_drawn_from_left_to_right() -> None:
    drawing = layout_scene(scene({"type": "plot", "functions": ["x"]}), STAGE, {})
    empty = drawing.frame(0.9, 9, (1,)).astype(int)

    def furthest(t: float) -> int:
        changed = np.abs(drawing.frame(t, 9, (1,)).astype(int) - empty).sum(2) > 60
        return int(np.flatnonzero(changed.any(0))[-1])

    edges = [furthest(t) for t in (2, 3, 4, 5, 6.9)]
    assert edges == sorted(edges) and edges[0] < 250 < 550 < edges[-1]


def test_pages_give_way_to_one_another() -> None:
    long = "A point that is as long as a point may be and says so again and again. " * 3
    drawing = layout_scene(scene({"type": "bullets", "bullets": [long] * 12}), STAGE, {})
    times = [float(beat) * 2 for beat in range(12)]
    turn = drawing.pages[1]
    last = drawing.frame(times[turn] - 0.01, 30, times).astype(int)
    fresh = drawing.frame(times[turn] + 1.5, 30, times).astype(int)
    ink = [int((np.abs(frame - drawing.background).sum(2) > 90).sum()) for frame in (last, fresh)]
    assert ink[1] < ink[0] * 0.6  # fewer points again


def test_the_countdown_runs_through_the_pause_and_the_answer_follows() -> None:
    quiz = scene({**SCENES[8], "pause_s": 3})
    assert isinstance(quiz, QuizScene)
    drawing = layout_scene(quiz, STAGE, {})
    seconds = min_scene_seconds(quiz, drawing.beats)
    times = spread_beats(quiz, drawing.beats, seconds)
    (ring,) = [entry.drawable.box for entry in drawing.entries if entry.name == "countdown"]
    place = slice(int(ring.y), int(ring.bottom)), slice(int(ring.x), int(ring.right))

    def inked(t: float) -> bool:
        frame = drawing.frame(t, seconds, times)[place].astype(int)
        return bool((np.abs(frame - drawing.background[place]).sum(2) > 60).any())

    assert times[-1] - times[-2] >= 3
    assert not inked(times[-1] - 3.05) and inked(times[-1] - 2.9) and inked(times[-1] - 0.1)
    assert not inked(times[-1] + 0.1)
    card = next(entry.drawable.box for entry in drawing.entries if entry.name == "right")
    x, y = round(card.center[0]), round(card.y + 1)
    assert tuple(drawing.frame(seconds, seconds, times)[y, x]) == THEMES["light"].correct


def test_edges_go_round_boxes_and_labels_have_their_own_room() -> None:
    rng = np.random.default_rng(3)
    for _ in range(12):
        count = int(rng.integers(3, 13))
        sizes = [(float(rng.integers(40, 160)), float(rng.integers(30, 90))) for _ in range(count)]
        ends = rng.integers(0, count, (2 * count, 2))
        links = [
            GraphEdge(int(a), int(b), (60.0, 20.0) if (a + b) % 3 == 0 else None)
            for a, b in ends
            if a != b
        ]
        for down in (False, True):
            drawing = layout_graph(sizes, links, down=down, gap=20, rank_gap=40)
            labels = [route.label for route in drawing.routes if route.label]
            whole = Box(0, 0, *drawing.size)
            boxes = [*drawing.nodes, *labels]
            assert all(inside(box, whole) for box in boxes)
            assert not any(overlap(a.expanded(9), b.expanded(9)) for a, b in combinations(boxes, 2))
            for link, route in zip(links, drawing.routes, strict=True):
                near = route.lines[0][0], route.lines[-1][-1]
                for point, node in zip(near, (link.source, link.target), strict=True):
                    assert inside(Box(*point, 0, 0), drawing.nodes[node], 1)
                for box in boxes:
                    inner = box.expanded(-1)
                    for x, y in (point for line in route.lines for point in line):
                        assert not (inner.x < x < inner.right and inner.y < y < inner.bottom)


def test_ticks_are_round_numbers() -> None:
    assert axis_ticks(-10, 10, 5) == [-10, -5, 0, 5, 10]
    assert [tick_label(v, 0.05) for v in axis_ticks(0.01, 0.2, 4)] == ["0.05", "0.1", "0.15", "0.2"]
    assert [tick_label(v, 1e7) for v in (0, 2e7, -5e7)] == ["0", "2·10⁷", "−5·10⁷"]
