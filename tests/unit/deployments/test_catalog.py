"""A catalogue that cannot be served stops the start; one that can costs no torch to read."""

from pathlib import Path

import pytest

from deployments.catalog import CatalogError, load_catalog, load_spec, new_generator
from deployments.contract import GeneratorSpec
from tests.support import scribe

ROOT = Path(__file__).parents[3]
SAME_NAME = "from tests.support.scribe import SPEC"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable, empty place for generators that a test writes."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(place: Path, name: str, spec: str | None) -> str:
    """A generator's package whose ``spec.py`` says ``spec``; its module."""
    folder = place / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    if spec is not None:
        (folder / "spec.py").write_text(spec)
    return name


def test_the_specs_come_by_name_in_the_order_of_the_list(package: Path) -> None:
    other = "import dataclasses\nfrom tests.support import scribe\n"
    other += "SPEC = dataclasses.replace(scribe.SPEC, name='copyist')"
    first, second = write(package, "gen_b", other), write(package, "gen_a", SAME_NAME)
    catalog = load_catalog([first, second])
    assert list(catalog) == ["copyist", "scribe"]
    assert catalog["scribe"] is scribe.SPEC
    assert load_catalog([]) == {}


def test_two_generators_of_one_name_are_fatal(package: Path) -> None:
    modules = [write(package, "gen_one", SAME_NAME), write(package, "gen_two", SAME_NAME)]
    with pytest.raises(CatalogError, match=r"scribe.*gen_two"):
        load_catalog(modules)


def test_a_generator_may_not_take_the_name_of_another_deployment(package: Path) -> None:
    spec = "import dataclasses\nfrom tests.support import scribe\n"
    spec += "SPEC = dataclasses.replace(scribe.SPEC, name='keeper')"
    with pytest.raises(CatalogError, match="gen_keeper may not be named keeper"):
        load_catalog([write(package, "gen_keeper", spec)])


def test_a_module_listed_twice_is_fatal(package: Path) -> None:
    with pytest.raises(CatalogError, match="scribe"):
        load_catalog([write(package, "gen_twice", SAME_NAME)] * 2)


@pytest.mark.parametrize(
    "module",
    ["deployments.nothing", "nowhere.at_all", "deployments.catalog", "deployments", ".relative"],
)
def test_a_module_that_is_not_there_is_named(module: str) -> None:
    with pytest.raises(CatalogError, match=module):
        load_catalog([module])


@pytest.mark.parametrize("spec", ["", "SPEC = None", "SPEC = {'name': 'image'}"])
def test_a_module_without_a_spec_is_named(package: Path, spec: str) -> None:
    name = f"gen_without_{len(spec)}"
    with pytest.raises(CatalogError, match=rf"{name}\.spec has no SPEC"):
        load_spec(write(package, name, spec))


def test_a_package_without_a_spec_file_is_named(package: Path) -> None:
    with pytest.raises(CatalogError, match="gen_empty"):
        load_spec(write(package, "gen_empty", None))


def test_a_spec_with_a_missing_dependency_is_no_missing_generator(
    package: Path,
) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_spec(write(package, "gen_broken", "import no_such_dependency"))


def test_a_fault_inside_a_spec_comes_through(package: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_spec(write(package, "gen_faulty", "1 / 0"))


def test_each_replica_gets_a_generator_of_its_own() -> None:
    first, second = new_generator(scribe.SPEC), new_generator(scribe.SPEC)
    assert type(first).__name__ == "Scribe"
    assert first is not second


def test_a_spec_cannot_be_changed_after_it_was_read() -> None:
    spec: GeneratorSpec[scribe.ScribeRequest] = scribe.SPEC
    with pytest.raises(AttributeError):
        spec.name = "other"  # type: ignore[misc]
