"""Does encoding overlap drawing? ``python -m benchmarks.films [--json FILE]``

Each kind of lesson scene is drawn without being encoded, encoded from frames that are there
already, and made as the generator makes it. ``ratio`` is the time of the last over the slower of
the first two: 1 is perfect, the sum of both would be the worst. ``bound`` is the least that the
cores allow: the CPU seconds of drawing and of encoding shared among them, if that is more than the
slower of the two; where there are cores to spare it is 1. The last row is the film of all of them,
scene after scene; below it a whole lesson, from its script to its files.

Times are medians over ``--rounds``, which take turns, so that what else runs disturbs all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.tiny_models import tiny_inference
from deployments.generators.study_animation.generator import StudyAnimationGenerator
from deployments.generators.study_animation.scene_clips import FilmScene, lay_out, make_clip
from deployments.generators.study_animation.settings import LessonSettings
from deployments.generators.study_animation.spec import StudyRequest
from deployments.worker.context import RunContext
from models.media.encoding.base import FilmLabel, FilmSpec
from models.media.encoding.open import open_film
from models.media.timeline import PlacedPart, build_timeline
from models.schemas.drawn_scenes import EquationScene, PlotScene
from models.schemas.lesson import BulletsScene, Lesson, Scene, StepsScene, TitleScene

LABEL = FilmLabel("benchmark", "none")
SECONDS = 15.0


def scenes() -> list[Scene]:
    """One of a kind, each as long as the others."""
    return [
        TitleScene(title="Waves", subtitle="How they rise and fall", min_seconds=SECONDS),
        BulletsScene(
            heading="What we need",
            bullets=("A curve", "An axis", "A little patience"),
            narration="A curve, an axis, and a little patience.",
            min_seconds=SECONDS,
        ),
        EquationScene(heading="The sum", terms=("a^2", "+ b^2", "= c^2"), min_seconds=SECONDS),
        PlotScene(
            heading="A wave",
            functions=("sin(x) * x", "x"),
            narration="The wave grows with every step.",
            min_seconds=SECONDS,
        ),
        StepsScene(heading="In turn", steps=("Draw", "Encode", "Join"), min_seconds=SECONDS),
        TitleScene(title="The end", narration="This is the end.", min_seconds=SECONDS),
    ]


@dataclass(frozen=True)
class Row:
    """Seconds; ``ratio`` and ``bound`` as the module says."""

    scene: str
    frames: int
    draw: float
    encode: float
    film: float
    cpu: float  # of drawing and encoding
    ratio: float
    bound: float


@dataclass(frozen=True)
class Results:
    cores: int
    width: int
    height: int
    fps: int
    rows: list[Row]
    lesson_seconds: float
    lesson_made_in: float


@dataclass(frozen=True)
class _Took:
    wall: float
    cpu: float


def _took(work: Callable[[], object]) -> _Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return _Took(time.perf_counter() - wall, time.process_time() - cpu)


def measure_scene(scene: Scene, settings: LessonSettings, rounds: int, folder: Path) -> Row:
    film_scene = FilmScene(1, scene, settings, {})
    film_scene = replace(film_scene, drawing=lay_out(film_scene))
    [placed] = build_timeline([film_scene.timeline_part()], settings.fps).parts
    path = folder / "clip.mp4"
    frames = list(film_scene.frames(placed))

    def encode() -> None:
        with open_film(path, FilmSpec(placed.rate, LABEL)) as film:
            for frame in frames:
                film.write(frame)

    drawn, encoded, made = [], [], []
    for _ in range(rounds):
        # Layout keeps its last frame, so each round starts from a scene of its own.
        anew = replace(film_scene, drawing=lay_out(film_scene))
        drawn.append(_took(lambda anew=anew: _exhaust(anew, placed)))  # type: ignore[misc]
        encoded.append(_took(encode))
        anew = replace(film_scene, drawing=lay_out(film_scene))
        made.append(
            _took(lambda anew=anew: make_clip(anew, placed, path, LABEL, _ignored))  # type: ignore[misc]
        )
    draw, encode_s, film = (median(t.wall for t in times) for times in (drawn, encoded, made))
    work = median(t.cpu for t in drawn) + median(t.cpu for t in encoded)
    return _row(scene.type, placed.frames, draw, encode_s, film, work)


def _row(scene: str, frames: int, draw: float, encode: float, film: float, cpu: float) -> Row:
    slower = max(draw, encode)
    bound = max(1.0, cpu / (_cores() * slower))
    return Row(scene, frames, draw, encode, film, cpu, film / slower, bound)


def whole(rows: list[Row]) -> Row:
    """The film that has all of them as its scenes."""
    draw, encode, film, cpu = (
        sum(getattr(row, name) for row in rows) for name in ("draw", "encode", "film", "cpu")
    )
    return _row("all", sum(row.frames for row in rows), draw, encode, film, cpu)


def _exhaust(scene: FilmScene, placed: PlacedPart) -> None:
    for _ in scene.frames(placed):
        pass


def _ignored(frame: object) -> None:
    pass


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def measure_lesson(settings: LessonSettings, folder: Path) -> tuple[float, float]:
    """Seconds of the film, and seconds it took."""
    generator = StudyAnimationGenerator()
    request = StudyRequest(
        lesson=Lesson(title="Waves", scenes=tuple(scenes())),
        resolution=settings.resolution,
        theme=settings.theme,
        fps=settings.fps,
    )
    began = time.perf_counter()
    [film, *_] = generator.generate(request, RunContext(1, folder, inference=tiny_inference()))
    return film.duration_s or 0.0, time.perf_counter() - began


def measure(settings: LessonSettings, rounds: int, console: Console) -> Results:
    width, height = settings.size
    with TemporaryDirectory() as folder:
        rows = [
            measure_scene(scene, settings, rounds, Path(folder))
            for scene in track(scenes(), "scenes", console=console)
        ]
        rows.append(whole(rows))
        seconds, made_in = measure_lesson(settings, Path(folder))
    return Results(_cores(), width, height, settings.fps, rows, seconds, made_in)


def show(results: Results, console: Console) -> None:
    table = Table(
        title=f"{results.width}x{results.height} at {results.fps} fps on {results.cores} cores",
        caption=f"a lesson of {results.lesson_seconds:.1f} s took {results.lesson_made_in:.1f} s",
    )
    for name in ("scene", "frames", "draw s", "encode s", "film s", "ratio", "bound"):
        table.add_column(name, justify="left" if name == "scene" else "right")
    for row in results.rows:
        times = (f"{seconds:.2f}" for seconds in (row.draw, row.encode, row.film))
        table.add_row(row.scene, str(row.frames), *times, f"{row.ratio:.2f}", f"{row.bound:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", default="720p", choices=("360p", "480p", "720p", "1080p"))
    parser.add_argument("--theme", default="light")
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the results there")
    arguments = parser.parse_args()
    console = Console()
    settings = LessonSettings(
        language="en",
        voice=None,
        speed=1.0,
        theme=arguments.theme,
        aspect="16:9",
        resolution=arguments.resolution,
        fps=arguments.fps,
        burn_subtitles=False,
    )
    results = measure(settings, arguments.rounds, console)
    show(results, console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
