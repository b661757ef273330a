"""Commands that make something: ``run`` for every generator, and shorter ones for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from atelier_client.client import Client
from atelier_client.command.exits import OK
from atelier_client.command.follow import finish
from atelier_client.command.inputs import (
    BadArguments,
    existing,
    is_pair,
    pictures_of,
    read_input,
    read_text,
)
from atelier_client.command.screen import Screen

MORE = "name=value"
MORE_HELP = "more of the generator's options (docs/generators.md); name=@path is a file"

# By the suffix of the file to save: the option of the generators ``image`` and ``video3d``.
_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".webm": "webm", ".gif": "gif"}


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to the parser; ``add`` is its ``add_parser``."""
    run = _maker(add, "run", "run a generator", _run)
    run.add_argument("generator", help="a name that `atelier generators` lists")
    run.add_argument("words", nargs="+", metavar=f"FILE.json | - | {MORE}", help=MORE_HELP)

    image = _maker(add, "image", "draw a picture", _image)
    image.add_argument("prompt", help="what it shows")
    _add_more(image)

    edit = _maker(add, "edit", "draw a picture anew", _edit)
    edit.add_argument("image", metavar="IMAGE", help="the picture")
    edit.add_argument("prompt", help="what it shall show")
    _add_more(edit)

    swap = _maker(add, "swap", "dress the person of a photo in other clothes", _swap)
    swap.add_argument("person", metavar="PERSON", help="a photo of one person")
    swap.add_argument(
        "words",
        nargs="+",
        metavar=f"GARMENT[:upper|lower|dress] | {MORE}",
        help="photos of clothes",
    )

    influencer = _maker(add, "influencer", "pictures of one person", _influencer)
    influencer.add_argument(
        "person", metavar="PERSON", help="a persona's id, a photo, or a JSON file with all of it"
    )
    influencer.add_argument("words", nargs="*", metavar=f"SCENE | {MORE}", help="where it is shown")
    influencer.add_argument(
        "--consent", action="store_true", help="the person on the photo agreed to such pictures"
    )

    video3d = _maker(add, "video3d", "a film: a camera moves through a picture", _video3d)
    video3d.add_argument("image", metavar="IMAGE", help="the picture")
    _add_more(video3d)

    story = _maker(add, "story", "a film of a story", _story)
    story.add_argument("file", metavar="FILE.md", help="the story; - is standard input")
    _add_more(story)

    lesson = _maker(add, "lesson", "a lesson as a film", _lesson)
    lesson.add_argument("file", metavar="FILE.md", help="the document; - is standard input")
    _add_more(lesson)


def _maker(
    add: Callable[..., argparse.ArgumentParser],
    name: str,
    what: str,
    build: Callable[[argparse.Namespace], tuple[str, dict[str, Any]]],
) -> argparse.ArgumentParser:
    parser = add(name, help=what, description=what[0].upper() + what[1:] + ".")

    def handle(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
        generator, job_input = build(arguments)
        return submit(client, screen, arguments, generator, job_input)

    parser.set_defaults(handle=handle)
    parser.add_argument(
        "-o", "--out", metavar="PATH",
        help="a file for the first output of its type, or a folder for all (default: out/JOB/)",
    )  # fmt: skip
    parser.add_argument("--priority", choices=("high", "normal", "low"), default="normal")
    parser.add_argument(
        "--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job, too"
    )
    parser.add_argument("--no-wait", action="store_true", help="submit it, and print its id")
    return parser


def _add_more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar=MORE, help=MORE_HELP)


def submit(
    client: Client,
    screen: Screen,
    arguments: argparse.Namespace,
    generator: str,
    job_input: Mapping[str, Any],
) -> int:
    """Submit a job, and follow it unless ``--no-wait`` was given."""
    job = client.jobs.create(generator, job_input, priority=arguments.priority)
    if arguments.no_wait:
        if screen.as_json:
            screen.answer(job)
        else:
            screen.result(job.id)
        return OK
    # A folder of its own if none is named: the names of outputs repeat.
    out = arguments.out or f"out/{job.id}/"
    return finish(client, screen, job, out, cancel_on_interrupt=arguments.cancel_on_interrupt)


def _run(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    return arguments.generator, read_input(arguments.words)


def _image(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    given = {"prompt": arguments.prompt}
    return "image", given | _format(arguments.out) | _pairs(arguments.words)


def _edit(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    given = {"init_image": existing(arguments.image), "prompt": arguments.prompt}
    return "image", given | _format(arguments.out) | _pairs(arguments.words)


def _swap(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    garments = [_garment(word) for word in arguments.words if not is_pair(word)]
    given = {"person_image": existing(arguments.person), "garments": garments}
    return "cloth_swap", given | _pairs(filter(is_pair, arguments.words))


def _garment(word: str) -> dict[str, Any]:
    name, colon, category = word.rpartition(":")
    if colon and category in ("upper", "lower", "dress"):
        return {"image": existing(name), "category": category}
    return {"image": existing(word)}


def _influencer(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    person: str = arguments.person
    if person.endswith(".json"):
        return "influencer", read_input([person, *arguments.words])
    if person.startswith("per_"):
        who: dict[str, Any] = {"persona_id": person}
    elif arguments.consent:
        who = {"reference_images": [existing(person)], "consent": True}
    else:
        raise BadArguments("a photo needs --consent: the person on it agreed to such pictures")
    scenes = [{"scene": word} for word in arguments.words if not is_pair(word)]
    given = {"person": who, "images": scenes}
    return "influencer", given | _pairs(filter(is_pair, arguments.words))


def _video3d(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    given = {"mode": "parallax", "image": existing(arguments.image)}
    return "video3d", given | _format(arguments.out) | _pairs(arguments.words)


def _story(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    return "story_video", {"story": read_text(arguments.file)} | _pairs(arguments.words)


def _lesson(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    markdown = read_text(arguments.file)
    folder = Path() if arguments.file == "-" else Path(arguments.file).parent
    given: dict[str, Any] = {"markdown": markdown}
    if shown := pictures_of(markdown, folder):
        given["pictures"] = [{"name": name, "image": path} for name, path in shown.items()]
    return "study_animation", given | _pairs(arguments.words)


def _format(out: str | None) -> dict[str, Any]:
    suffix = Path(out or "").suffix.lower()
    return {"format": _FORMATS[suffix]} if suffix in _FORMATS else {}


def _pairs(words: Iterable[str]) -> dict[str, Any]:
    words = list(words)
    for word in words:
        if not is_pair(word):
            raise BadArguments(f"{word} is no {MORE}")
    return read_input(words)
