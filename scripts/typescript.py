"""Write what is generated of clients/typescript: the types of the API, and the compiled modules.

python -m scripts.typescript            # both; compiling needs npm, and the network the first time
python -m scripts.typescript --types    # src/api.ts alone, which needs neither

src/api.ts has an interface for each schema of the OpenAPI document, and ``Calls``, which says for
each call what it takes and answers. dist/ is what TypeScript makes of src/; dist/SOURCES.sha256
says of which. ``tests/unit/test_typescript.py`` fails where one of them is behind.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from billing.settings import StripeSettings
from db.settings import StoreSettings
from deployments.settings import MailSettings
from serve_app.api import create_api
from serve_app.settings import AuthSettings, LimitSettings, Settings

ROOT = Path(__file__).parents[1] / "clients" / "typescript"
TYPES = ROOT / "src" / "api.ts"
SOURCES = ROOT / "dist" / "SOURCES.sha256"
METHODS = ("get", "post", "put", "patch", "delete")
SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
HEAD = """// Written by `python -m scripts.typescript` from the OpenAPI document of the service.
"""

Schema = Mapping[str, Any]


def read_document() -> dict[str, Any]:
    """Return the OpenAPI document; no server is needed for it."""
    stores = StoreSettings(
        DATABASE_URL="postgresql://127.0.0.1/none", REDIS_URL="redis://127.0.0.1",
        S3_ENDPOINT="http://127.0.0.1", S3_ACCESS_KEY="none", S3_SECRET_KEY="none",
    )  # fmt: skip
    auth = AuthSettings(JWT_SECRET="only a document is made, no token " * 2)
    settings = Settings(stores, auth, LimitSettings(), StripeSettings(), MailSettings())
    return create_api(["deployments.generators.image"], settings).openapi()


def render_types(document: Schema) -> str:
    """Render src/api.ts."""
    schemas = document["components"]["schemas"]
    # Forms are written by hand: their files are no JSON.
    interfaces = [
        _interface(name, schemas[name]) for name in schemas if not name.startswith("Body_")
    ]
    calls = list(_calls(document))
    creations = ",\n".join(f"  {json.dumps(name)}" for name, _, creates in calls if creates)
    rows = "\n".join(f"  {json.dumps(name)}: {type_};" for name, type_, _ in calls)
    return "\n".join(
        [
            HEAD,
            *interfaces,
            "/** What each call takes and answers. */",
            f"export interface Calls {{\n{rows}\n}}\n",
            "/** Calls that take an `Idempotency-Key`. */",
            f"export const CREATIONS: ReadonlySet<string> = new Set([\n{creations},\n]);\n",
        ]
    )


def _interface(name: str, schema: Schema) -> str:
    fields = "".join(
        f"{_comment(field, '  ')}  {field_name}{_mark(field_name, schema)}: {_type(field)};\n"
        for field_name, field in schema["properties"].items()
    )
    return f"{_comment(schema, '')}export interface {name} {{\n{fields}}}\n"


def _mark(name: str, schema: Schema) -> str:
    return "" if name in schema.get("required", ()) else "?"


def _comment(schema: Schema, indent: str) -> str:
    words = " ".join(schema.get("description", "").split()).replace("*/", "*\\/")
    return f"{indent}/** {words} */\n" if words else ""


def _type(schema: Schema) -> str:
    """The type of a schema.

    Raises:
        ValueError: it is of a kind that no schema of ours was of.
    """
    match schema:
        case {"$ref": str(name)}:
            return name.rpartition("/")[2]
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            return " | ".join(map(json.dumps, values))
        case {"anyOf": kinds}:
            return " | ".join(dict.fromkeys(map(_type, kinds)))
        case {"type": "null"}:
            return "null"
        case {"type": "array", "items": items}:
            return f"({_type(items)})[]" if "|" in _type(items) else f"{_type(items)}[]"
        case {"type": "object", "additionalProperties": Mapping() as values}:
            return f"Record<string, {_type(values)}>"
        case {"type": "object"}:
            return "Record<string, unknown>"
        case {"type": str(kind)} if kind in SCALARS:
            return SCALARS[kind]
        case _ if set(schema) <= {"title", "description"}:
            return "unknown"
    raise ValueError(f"no type for {schema}")


def _calls(document: Schema) -> Iterator[tuple[str, str, bool]]:
    """Yield the name, the type, and whether it takes an ``Idempotency-Key``, of each call whose
    body and answer are JSON or nothing."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item and (found := _call(item[method])) is not None:
                parameters = item[method].get("parameters", ())
                creates = any(one["name"] == "Idempotency-Key" for one in parameters)
                yield f"{method.upper()} {path}", found, creates


def _call(operation: Schema) -> str | None:
    answer = _json(next(one for code, one in operation["responses"].items() if code[0] == "2"))
    body = _json(operation.get("requestBody", {}))
    if answer is None or body is None:
        return None
    path, query = _parameters(operation, "path"), _parameters(operation, "query")
    parts = {"path": path, "query" if _needs_query(operation) else "query?": query}
    if body:
        parts["body" if operation["requestBody"].get("required") else "body?"] = body
    parts["answer"] = answer or "undefined"
    return f"{{ {'; '.join(f'{name}: {type_}' for name, type_ in parts.items() if type_)} }}"


def _json(part: Schema) -> str | None:
    """The type of a body; empty where there is none, and None where it is not JSON."""
    content = part.get("content", {})
    if not content:
        return ""
    return _type(content["application/json"]["schema"]) if "application/json" in content else None


def _needs_query(operation: Schema) -> bool:
    return any(one["in"] == "query" and one["required"] for one in operation.get("parameters", ()))


def _parameters(operation: Schema, place: str) -> str:
    found = [
        one
        for one in operation.get("parameters", ())
        if one["in"] == place and one["schema"].get("type") != "object"  # the caller names those
    ]
    fields = (f"{p['name']}{'' if p.get('required') else '?'}: {_type(p['schema'])}" for p in found)
    return f"{{ {'; '.join(fields)} }}" if found else ""


def hash_sources() -> str:
    """Return the SHA-256 of all that the compiled modules are made of."""
    digest = hashlib.sha256()
    for path in [ROOT / "package.json", ROOT / "tsconfig.json", *sorted(TYPES.parent.glob("*.ts"))]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", action="store_true", help="write src/api.ts alone")
    arguments = parser.parse_args(argv)
    TYPES.write_text(render_types(read_document()), encoding="utf-8")
    if not arguments.types:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=ROOT, check=True)
        subprocess.run(["npm", "run", "build"], cwd=ROOT, check=True)
        SOURCES.write_text(f"{hash_sources()}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
