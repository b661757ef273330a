"""Check that the examples of the documents cost and mean what they did.

    python -m scripts.examples            # says what changed; exits with 1 if anything did
    python -m scripts.examples --write    # after a change that is meant

Examples are the lines ``atelier run ...``, the JSON bodies with a ``generator`` and an
``input``, and the lessons of ``docs/gallery/constructs.md``. Of each, ``docs/examples.json`` holds
its price, the request with its defaults, and of lessons and stories what is shown and said.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atelier_client.command.inputs import read_input
from deployments.contract import GeneratorSpec, Request
from deployments.generators.story_video.script import storyboard_from_outline
from deployments.generators.story_video.spec import StoryRequest, max_scene_count
from deployments.generators.study_animation.spec import StudyRequest, script_from_request
from models.text.story_outline import extract_story_outline
from scripts.reference import shipped_specs

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "examples.json"
_LESSONS = ROOT / "deployments" / "generators" / "study_animation" / "example"
_COMMAND = re.compile(r"^\S*atelier run (\w+ .+?)(?: -o \S+)?$", re.MULTILINE)
_BODY = re.compile(r'"generator": "(\w+)", "input": (?=\{)')
_NOT_MEANT = {"source_lines", "left_out"}


def documents() -> list[Path]:
    """The documents that hold examples."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def find_examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each example once: its name, its generator and its input."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for found in _COMMAND.finditer(text):
            generator, *words = shlex.split(found[1])
            yield found[1], generator, read_input(words, _named_file)
        for found in _BODY.finditer(text):
            try:
                given, _ = json.JSONDecoder().raw_decode(text, found.end())
            except ValueError:  # a shell fills it in, or it goes on with dots
                continue
            if "..." not in json.dumps(given):
                yield f"{found[1]} {json.dumps(given, ensure_ascii=False)}", found[1], given
    for path in sorted(_LESSONS.glob("*.md")):
        given = {
            "markdown": path.read_text(encoding="utf-8"),
            "pictures": [{"name": "leaf.png", "image": _named_file(_LESSONS / "leaf.png")}],
        }
        yield f"study_animation {path.name}", "study_animation", given


def _named_file(path: Path) -> dict[str, str]:
    return {"url": f"https://example.com/{path.name}"}


def describe(spec: GeneratorSpec[Any], given: dict[str, Any]) -> dict[str, Any]:
    """What the example costs and means."""
    request = spec.request.model_validate(given)
    lines = [[line.item, line.quantity, line.credits] for line in spec.price(request)]
    shown = request.model_dump(mode="json")
    if isinstance(shown.get("markdown"), str):
        del shown["markdown"]  # a document of its own; its scenes follow
    said = {"credits": spec.quote(request), "breakdown": lines, "request": shown}
    if scenes := _scenes(request):
        said["scenes"] = scenes
    return said


def _scenes(request: Request) -> list[Any]:
    if isinstance(request, StudyRequest) and (lesson := script_from_request(request)):
        dumps = [scene.model_dump(mode="json", by_alias=True) for scene in lesson.scenes]
        return [{k: v for k, v in dump.items() if v and k not in _NOT_MEANT} for dump in dumps]
    if isinstance(request, StoryRequest) and request.story is not None:
        board = storyboard_from_outline(
            extract_story_outline(request.story), max_scene_count(request)
        )
        return [[scene.shot, scene.narration] for scene in board.scenes]
    return []


def describe_all() -> dict[str, Any]:
    """What every example costs and means, by its name."""
    specs = {spec.name: spec for spec in shipped_specs()}
    return {name: describe(specs[kind], given) for name, kind, given in find_examples()}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is different, one line for each example and part of it."""
    lines = [f"{name}: is gone" for name in before if name not in after]
    lines += [f"{name}: is new" for name in after if name not in before]
    for name in (name for name in after if name in before):
        parts = sorted({*before[name], *after[name]})
        for part in parts:
            old, new = (described[name].get(part) for described in (before, after))
            if old != new:
                lines.append(f"{name}: {part} was {_short(old)}, is {_short(new)}")
    return lines


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else f"{text[:400]}..."


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.examples",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="record what they are now")
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args(argv)
    now = json.loads(json.dumps(describe_all()))
    if arguments.write:
        text = json.dumps(now, indent=1, ensure_ascii=False, sort_keys=True)
        arguments.record.write_text(text + "\n", encoding="utf-8")
        return
    found = changes(json.loads(arguments.record.read_text(encoding="utf-8")), now)
    if found:
        sys.exit("\n".join([*found, "If this is meant: python -m scripts.examples --write"]))
    print(f"{len(now)} examples cost and mean what they did.")


if __name__ == "__main__":
    main()
