"""What the ingress imports stays light, seen in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["serve_app.api", "deployments.catalog", "models", "db.tables"])
def test_importing_the_light_side_never_loads_torch(name: str) -> None:
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_api_is_there_before_what_answers_agents_is_loaded() -> None:
    """A first message waits for its imports."""
    code = "import sys, serve_app.api; sys.exit('mcp' in sys.modules or 'mcp_types' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_reading_the_catalogue_of_the_service_loads_neither_torch_nor_ray() -> None:
    code = """
import sys, yaml
from deployments.catalog import load_catalog
[app] = yaml.safe_load(open("serve_config.yaml"))["applications"]
assert load_catalog(app["args"]["generators"])
heavy = {"torch", "diffusers", "transformers", "ray", "cv2"} & set(sys.modules)
sys.exit(f"loaded {sorted(heavy)}" if heavy else 0)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_markdown_reader_loads_nothing_heavy() -> None:
    code = (
        "import sys, models.text.markdown, models.text.shorten;"
        "print(sorted({'torch', 'numpy', 'PIL', 'cv2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
