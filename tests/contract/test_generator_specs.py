"""What every generator of the service must be, whoever wrote it. A new one is tried untouched."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from billing.prices import PriceLine
from deployments.catalog import example_input, load_catalog, new_generator
from deployments.contract import GeneratorSpec, Request
from deployments.gpu_manager.names import GPU_MANAGER
from tests.support import scribe
from tests.support.running_generators import example, examples

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"
NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")
DEPLOYMENTS = {"ingress", "keeper", GPU_MANAGER}  # names that are taken

LEAST = ("minimum", "exclusiveMinimum")
MOST = ("maximum", "exclusiveMaximum")
NO_WORK = {"seed", "speed"}  # numbers that ask for nothing more; a faster voice makes less film


def listed() -> list[str]:
    [application] = yaml.safe_load(CONFIG.read_text())["applications"]
    modules: list[str] = application["args"]["generators"]
    return modules


CATALOG = load_catalog(listed())


@pytest.fixture(params=list(CATALOG.values()), ids=list(CATALOG))
def spec(request: pytest.FixtureRequest) -> GeneratorSpec[Any]:
    found: GeneratorSpec[Any] = request.param
    return found


def shipped(spec: GeneratorSpec[Any]) -> list[dict[str, Any]]:
    """The inputs it ships as examples, the plain one first."""
    return [example(spec), *(example(spec, name) for name in examples(spec) if name != "input")]


def takes(spec: GeneratorSpec[Any], given: dict[str, Any]) -> bool:
    try:
        spec.request.model_validate(given)
    except ValidationError:
        return False
    return True


def objects(model: type[Request]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a request and of what it holds: its path and its schema."""
    schema = model.model_json_schema()
    for name, part in [("", schema), *schema.get("$defs", {}).items()]:
        for field, inner in part.get("properties", {}).items():
            yield f"{name}.{field}", inner


def unbounded(schema: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[str]:
    """Where a value could be as long or as large as its sender likes."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
    for either in part.get("anyOf", []) + part.get("oneOf", []):
        yield from unbounded(schema, either, path)
    if "enum" in part or "const" in part:
        return
    kind = part.get("type")
    if kind == "string" and "maxLength" not in part:
        yield f"{path}: a text without a greatest length"
    if kind in ("integer", "number"):
        for bound in (LEAST, MOST):
            if not any(name in part for name in bound):
                yield f"{path}: a number without {bound[0]}"
    if kind == "array":
        if "maxItems" not in part:
            yield f"{path}: a list without a greatest length"
        for item in part.get("prefixItems", [part["items"]] if "items" in part else []):
            yield from unbounded(schema, item, f"{path}[]")
    if kind == "object":
        if part.get("additionalProperties", True) is not False:
            yield f"{path}: an object that takes any field"
        for name, inner in part.get("properties", {}).items():
            yield from unbounded(schema, inner, f"{path}.{name}")
    if kind is None and not {"anyOf", "oneOf"} & set(part):
        yield f"{path}: anything at all"


def test_the_service_lists_generators() -> None:
    assert "image" in CATALOG


def test_its_name_can_stand_in_a_path_a_key_and_a_deployment(spec: GeneratorSpec[Any]) -> None:
    assert NAME.fullmatch(spec.name)
    assert spec.name not in DEPLOYMENTS


def test_it_says_what_it_is(spec: GeneratorSpec[Any]) -> None:
    assert spec.title.strip() == spec.title != ""
    assert spec.description.endswith(".")


def test_its_request_is_immutable_and_takes_no_unknown_field(spec: GeneratorSpec[Any]) -> None:
    assert issubclass(spec.request, Request)
    good = example(spec)
    request = spec.request.model_validate(good)
    with pytest.raises(ValidationError, match="frozen"):
        request.seed = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        spec.request.model_validate(good | {"colour_of_the_moon": "blue"})


def test_every_field_is_described_and_shown_by_example(spec: GeneratorSpec[Any]) -> None:
    fields = [(path, part) for path, part in objects(spec.request) if "const" not in part]
    assert [path for path, part in fields if not part.get("description")] == []
    assert [path for path, part in fields if not part.get("examples")] == []


def test_the_example_that_clients_read_is_valid(spec: GeneratorSpec[Any]) -> None:
    shown = example_input(spec)
    assert shown is not None and takes(spec, shown)
    assert '"@' not in json.dumps(shown), "a file is a URL there, not a path of ours"


def test_every_field_is_bounded(spec: GeneratorSpec[Any]) -> None:
    schema = spec.request.model_json_schema()
    assert list(unbounded(schema, schema, spec.name)) == []


def test_the_look_for_bounds_finds_what_has_none() -> None:
    schema = scribe.ScribeRequest.model_json_schema()
    found = " ".join(unbounded(schema, schema, "scribe"))
    assert all(name in found for name in ("scribe.text", "scribe.pages", "scribe.seed"))
    assert "scribe.fault" not in found, "a choice is bounded"


def test_every_example_of_a_field_is_valid(spec: GeneratorSpec[Any]) -> None:
    """Put into an input it ships, in place of what does not go together with it."""
    bases = [
        {name: value for name, value in given.items() if name not in left_out}
        for given in shipped(spec)
        for left_out in [(), *((name,) for name in given)]
    ]
    for name, field in spec.request.model_fields.items():
        for shown in field.examples or []:
            assert any(takes(spec, base | {name: shown}) for base in bases), (name, shown)


def test_what_was_accepted_is_accepted_again_when_it_is_run(spec: GeneratorSpec[Any]) -> None:
    for given in shipped(spec):
        request = spec.request.model_validate(given)
        assert spec.request.model_validate(request.model_dump(mode="json")) == request


def test_a_request_without_its_required_fields_is_refused(spec: GeneratorSpec[Any]) -> None:
    required = [name for name, field in spec.request.model_fields.items() if field.is_required()]
    for name in required:
        given = {k: v for k, v in example(spec).items() if k != name}
        with pytest.raises(ValidationError, match="Field required"):
            spec.request.model_validate(given)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "x"])
def test_a_seed_that_the_row_cannot_hold_is_refused(spec: GeneratorSpec[Any], seed: Any) -> None:
    with pytest.raises(ValidationError):
        spec.request.model_validate(example(spec) | {"seed": seed})


def test_its_price_is_at_least_a_credit_and_the_same_each_time(spec: GeneratorSpec[Any]) -> None:
    for given in shipped(spec):
        request = spec.request.model_validate(given)
        before = request.model_dump()
        first, second = spec.price(request), spec.price(request)
        assert first == second and first is not second
        assert request.model_dump() == before
        assert spec.quote(request) == sum(line.credits for line in first) >= 1
        for line in first:
            assert isinstance(line, PriceLine)
            assert line.item and line.quantity >= 1 and line.credits >= 0
            assert type(line.credits) is int, "credits are whole"


def test_more_work_never_costs_less(spec: GeneratorSpec[Any]) -> None:
    """Larger numbers and longer lists, one at a time."""
    for given in shipped(spec):
        for name, values in growing(spec, given).items():
            tried = [given | {name: value} for value in values]
            quotes = [
                spec.quote(spec.request.model_validate(more)) for more in tried if takes(spec, more)
            ]
            assert quotes == sorted(quotes), (name, quotes)


def growing(spec: GeneratorSpec[Any], given: dict[str, Any]) -> dict[str, list[Any]]:
    """For each field that is a number or a list, values that ask for more and more."""
    found: dict[str, list[Any]] = {}
    for name, part in spec.request.model_json_schema()["properties"].items():
        for kind in [part, *part.get("anyOf", [])]:
            if name not in NO_WORK and "minimum" in kind and "maximum" in kind:
                least, most = kind["minimum"], kind["maximum"]
                found[name] = [least, *(least + (most - least) * part // 8 for part in range(1, 9))]
        if isinstance(given.get(name), list):
            found[name] = [given[name][:1], given[name], given[name] * 2]
    return found


def test_some_request_costs_more_than_another(spec: GeneratorSpec[Any]) -> None:
    tried = [
        given | {name: value}
        for given in shipped(spec)
        for name, values in growing(spec, given).items()
        for value in values
    ]
    assert len({spec.quote(spec.request.model_validate(x)) for x in tried if takes(spec, x)}) > 1


def test_its_price_has_a_version_that_names_it(spec: GeneratorSpec[Any]) -> None:
    assert spec.price_version.startswith(f"{spec.name}-")
    assert spec.price_version != f"{spec.name}-"


def test_it_may_take_longer_than_it_is_expected_to(spec: GeneratorSpec[Any]) -> None:
    assert 0 < spec.expected_seconds < spec.max_seconds <= 3600
    assert spec.concurrency >= 1


def test_its_entry_is_a_generator(spec: GeneratorSpec[Any]) -> None:
    generator = new_generator(spec)
    assert callable(generator.generate)


def test_no_two_generators_share_a_price_version_or_an_entry() -> None:
    for said in ("price_version", "entry", "title"):
        values = [getattr(spec, said) for spec in CATALOG.values()]
        assert len(set(values)) == len(values), said
