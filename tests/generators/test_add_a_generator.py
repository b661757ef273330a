"""The generator that docs/architecture.md shows works as it stands there."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.tiny_models import tiny_inference
from deployments.catalog import load_spec, new_generator
from deployments.contract import GeneratorSpec
from deployments.worker.context import RunContext

ROOT = Path(__file__).parents[2]
SHOWN = "deployments.generators.framed"
BLOCK = re.compile(r"```python\n# deployments/generators/framed/(\w+\.py)\n(.*?)```", re.DOTALL)


def files() -> dict[str, str]:
    return dict(BLOCK.findall((ROOT / "docs/architecture.md").read_text()))


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GeneratorSpec[Any]]:
    """The document's code blocks as a package of their own; only its name is another."""
    package = tmp_path / "framed_of_the_docs"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in files().items():
        (package / name).write_text(text.replace(SHOWN, package.name))
    monkeypatch.syspath_prepend(tmp_path)
    yield load_spec(package.name)
    for module in [name for name in sys.modules if name.split(".")[0] == package.name]:
        del sys.modules[module]


def test_it_has_two_files_of_at_most_sixty_lines() -> None:
    texts = files()
    assert set(texts) == {"spec.py", "generator.py"}
    assert sum(len(text.splitlines()) for text in texts.values()) <= 60


def test_its_spec_quotes_a_request(spec: GeneratorSpec[Any]) -> None:
    request = spec.request.model_validate({"prompt": "a red circle", "n": 3})
    assert spec.quote(request) == 6


def test_it_draws_a_framed_image(spec: GeneratorSpec[Any], tmp_path: Path) -> None:
    generator = new_generator(spec)
    request = spec.request.model_validate(
        {"prompt": "a big red circle on a blue background", "n": 2}
    )
    context = RunContext(7, tmp_path, inference=tiny_inference())

    artifacts = generator.generate(request, context)

    assert context.state == (1.0, "drawing")
    assert [artifact.path.name for artifact in artifacts] == ["framed-0.png", "framed-1.png"]
    for artifact in artifacts:
        with Image.open(artifact.path) as image:
            assert image.size == (artifact.width, artifact.height) == (72, 72)
            assert image.getpixel((0, 0)) == (255, 255, 255)
            assert len(set(image.get_flattened_data())) > 10  # something is drawn inside the frame
