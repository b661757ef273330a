"""How the words of `atelier run` become an input."""

import json
from pathlib import Path

import pytest

from atelier_client.command.inputs import BadArguments, read_input


def name(path: Path) -> str:
    return f"<{path.name}>"


def test_values_are_json_or_else_text() -> None:
    words = ["prompt=a red circle", "n=2", "looped=true", "scenes=[1, 2]", "note=1=one"]
    assert read_input(words, name) == {
        "prompt": "a red circle", "n": 2, "looped": True, "scenes": [1, 2], "note": "1=one",
    }  # fmt: skip


def test_files_are_placed_at_any_depth_and_beside_the_json_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "shirt.png").touch()
    (tmp_path / "input.json").write_text(
        json.dumps({"garments": [{"image": "@shirt.png", "category": "upper"}], "n": 1})
    )
    assert read_input([str(tmp_path / "input.json"), "n=3"], name) == {
        "garments": [{"image": "<shirt.png>", "category": "upper"}],
        "n": 3,
    }


@pytest.mark.parametrize("word", ["nothing.json", "image=@nothing.png", "a b=c"])
def test_what_is_no_input_is_named(word: str) -> None:
    with pytest.raises(BadArguments, match=r"nothing|a b"):
        read_input([word], name)
