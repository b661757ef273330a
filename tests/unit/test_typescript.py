"""What is generated of the TypeScript client is of the API and of the sources as they are."""

from typing import Any

import pytest

from scripts import typescript


def test_its_types_are_those_of_the_openapi_document() -> None:
    written = typescript.TYPES.read_text(encoding="utf-8")
    assert written == typescript.render_types(typescript.read_document()), (
        "run `python -m scripts.typescript`"
    )


def test_its_modules_are_compiled_from_its_sources() -> None:
    assert typescript.SOURCES.read_text().strip() == typescript.hash_sources(), (
        "run `python -m scripts.typescript`"
    )
    modules = {path.stem for path in typescript.TYPES.parent.glob("*.ts")}
    for suffix in ("js", "d.ts"):
        compiled = typescript.SOURCES.parent.glob(f"*.{suffix}")
        assert {path.name.partition(".")[0] for path in compiled} == modules


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({"type": "integer", "minimum": 1}, "number"),
        ({"$ref": "#/components/schemas/JobView"}, "JobView"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, "number | null"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, '("a" | "b")[]'),
        ({"type": "object", "additionalProperties": {"const": "x"}}, 'Record<string, "x">'),
        ({"type": "object", "additionalProperties": True}, "Record<string, unknown>"),
        ({"title": "Anything"}, "unknown"),
    ],
)
def test_a_schema_has_a_type(schema: dict[str, Any], type_: str) -> None:
    assert typescript._type(schema) == type_


def test_a_schema_of_a_new_kind_is_no_type() -> None:
    with pytest.raises(ValueError, match="prefixItems"):
        typescript._type({"type": "array", "prefixItems": []})


def test_a_call_says_what_it_takes_and_answers() -> None:
    calls = {name: (type_, creates) for name, type_, creates in typescript._calls(DOCUMENT)}
    assert calls == {
        "POST /v1/x/{x_id}": ("{ path: { x_id: string }; body?: X; answer: X }", True),
        "DELETE /v1/x/{x_id}": ("{ query?: { now?: boolean }; answer: undefined }", False),
    }


X = {"application/json": {"schema": {"$ref": "#/components/schemas/X"}}}
DOCUMENT = {
    "paths": {
        "/v1/x/{x_id}": {
            "post": {
                "parameters": [
                    {"name": "x_id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "Idempotency-Key", "in": "header", "required": False},
                ],
                "requestBody": {"content": X},
                "responses": {"404": {}, "201": {"content": X}},
            },
            "delete": {
                "parameters": [
                    {"name": "now", "in": "query", "required": False, "schema": {"type": "boolean"}}
                ],
                "responses": {"204": {}},
            },
            "get": {"responses": {"200": {"content": {"text/event-stream": {}}}}},
        }
    }
}
