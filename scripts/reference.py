"""Write docs/generators.md: the options and price of each generator, from its own schema.

python -m scripts.reference          # prints it
python -m scripts.reference --write  # into docs/generators.md
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from deployments.catalog import load_catalog
from deployments.contract import GeneratorSpec

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "generators.md"
NOTES = ROOT / "docs" / "generators"  # what a schema cannot say, by the generator's name
MEDIA = {"ImageInput": "picture", "AudioInput": "sound"}
KINDS = {"file": "file id", "per": "persona id", "job": "job id"}
HEAD = """# The generators, option by option

Written by `python -m scripts.reference --write` from the schemas that the service itself checks
requests with, and from the notes in `docs/generators/`; `GET /v1/generators` gives the schemas.
Calls, media and errors are in [api.md](api.md), what comes out in the [gallery](gallery.md).
Pictures and sounds are given as
`{"file_id": ...}`, `{"url": ...}` or `{"data": ...}`. A default of "-" is chosen by the installed
model, or switches the option off.
"""


def render_page(specs: Sequence[GeneratorSpec[Any]]) -> str:
    """Render the whole page in Markdown."""
    return "\n".join([HEAD, *(line for spec in specs for line in _generator(spec))])


def _generator(spec: GeneratorSpec[Any]) -> Iterator[str]:
    schema = spec.request.model_json_schema()
    yield f"## `{spec.name}`\n"
    yield f"{spec.description}\n"
    yield f"{_prose(spec.request)}\n"
    yield f"Price (`{spec.price_version}`): {_prose(spec.price)}\n"
    yield from _table(schema, schema)
    notes = NOTES / f"{spec.name}.md"
    if notes.exists():
        yield notes.read_text(encoding="utf-8")
    for name, part in schema.get("$defs", {}).items():
        if name not in MEDIA and "properties" in part:
            yield f"**{name}**: {' '.join(part.get('description', '').split())}\n"
            yield from _table(schema, part)


def _prose(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").split())


def _table(schema: dict[str, Any], part: dict[str, Any]) -> Iterator[str]:
    yield "| option | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, inner in part["properties"].items():
        required = name in part.get("required", ())
        default = "required" if required else _default(inner.get("default"))
        words = inner.get("description", "").replace("|", "\\|").replace("\n", " ")
        yield f"| `{name}` | {_kind(schema, inner)} | {default} | {words} |"
    yield ""


def _default(value: Any) -> str:
    return "-" if value in (None, "", [], ()) else f"`{json.dumps(value)}`"


def _kind(schema: dict[str, Any], part: dict[str, Any]) -> str:
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        return MEDIA.get(name) or (
            name if "properties" in schema["$defs"][name] else _kind(schema, schema["$defs"][name])
        )
    either = [
        option
        for option in part.get("anyOf", part.get("oneOf", []))
        if option.get("type") != "null"
    ]
    if either:
        return " or ".join(dict.fromkeys(_kind(schema, option) for option in either))
    if "enum" in part:
        return " ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if part.get("type") == "array":
        items = part.get("prefixItems", [part.get("items", {})])[0]
        least, most = part.get("minItems", 0), part["maxItems"]
        count = f"{most}" if least == most else f"{least} to {most}"
        return f"{count} x {_kind(schema, items)}"
    if part.get("type") == "string":
        return _text(part)
    if part.get("type") in ("integer", "number"):
        return _number(part)
    return "true or false"


def _text(part: dict[str, Any]) -> str:
    for prefix, kind in KINDS.items():
        if str(part.get("pattern", "")).startswith(f"^{prefix}_"):
            return kind
    return f"text, {part.get('minLength', 0)} to {part['maxLength']} characters"


def _number(part: dict[str, Any]) -> str:
    least = part["minimum"] if "minimum" in part else f"above {part['exclusiveMinimum']}"
    most = part["maximum"] if "maximum" in part else f"below {part['exclusiveMaximum']}"
    step = f", multiples of {part['multipleOf']}" if "multipleOf" in part else ""
    return f"{'whole number, ' if part['type'] == 'integer' else ''}{least} to {most}{step}"


def shipped_specs() -> list[GeneratorSpec[Any]]:
    """Load the generators that ``serve_config.yaml`` lists, in its order."""
    [application] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"]
    return list(load_catalog(application["args"]["generators"]).values())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/generators.md")
    text = render_page(shipped_specs())
    if parser.parse_args(argv).write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
