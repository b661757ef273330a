"""What ``atelier-admin`` prints for people and for programs."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from atelier_admin.main import COMMANDS, main, parser
from atelier_admin.options import last_day, moment
from atelier_admin.output import Credits, cell, print_rows, span_in_words, table

NOW = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    rows = [
        {"id": "job_1", "credits": Credits(5), "note": None},
        {"id": "job_20", "credits": Credits(12_500), "note": "a film"},
    ]
    assert table(rows).splitlines() == [
        "id      credits  note",
        "job_1         5  -",
        "job_20   12,500  a film",
    ]


def test_wide_letters_take_two_columns() -> None:
    lines = table([{"name": "東京", "x": "a"}, {"name": "Bonn", "x": "b"}]).splitlines()
    assert lines == ["name  x", "東京  a", "Bonn  b"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (True, "yes"),
        (["a", "b"], "a, b"),
        ([], "-"),
        ({"n": 1}, '{"n": 1}'),
        (NOW - timedelta(minutes=3), "2027-01-31 11:57 (3 min ago)"),
        (NOW + timedelta(days=40), "2027-03-12 12:00 (in 40 d)"),
        ("one\ntwo\x1b[31m", "one two [31m"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert cell(value, NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_spans_in_their_largest_unit(seconds: int, words: str) -> None:
    assert span_in_words(timedelta(seconds=seconds)) == words


def test_json_has_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"credits": Credits(7), "at": NOW, "age": timedelta(seconds=90), "none": None}
    print_rows(argparse.Namespace(json=True), [row], none="nothing")
    assert json.loads(capsys.readouterr().out) == {
        "data": [{"credits": 7, "at": "2027-01-31T12:00:00Z", "age": 90.0, "none": None}]
    }
    print_rows(argparse.Namespace(json=False), [], none="nothing")
    assert capsys.readouterr().out == "nothing\n"


def test_times_and_days_are_read() -> None:
    assert moment("2027-01-31T12:00") == NOW
    assert moment("2027-01-31T13:00+01:00") == NOW
    assert timedelta(hours=1.9) < datetime.now(UTC) - moment("2h") < timedelta(hours=2.1)
    assert last_day("2999-01-31") == datetime(2999, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)
    for read, wrong in ((moment, "yesterday"), (last_day, "2020-01-01"), (last_day, "soon")):
        with pytest.raises(argparse.ArgumentTypeError):
            read(wrong)


def test_every_subcommand_has_help_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that are added later: an action that answers in tables alone is found here."""
    (whole,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert len(whole.choices) == len(COMMANDS)
    for name, command in whole.choices.items():
        groups = [one for one in command._actions if isinstance(one, argparse._SubParsersAction)]
        for leaf in groups[0].choices.values() if groups else [command]:
            options = {option for one in leaf._actions for option in one.option_strings}
            assert "--json" in options, f"{name}: {leaf.prog}"


def test_a_subcommand_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_an_address_of_another_database_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://somebody:a-secret@example.com/atelier")
    assert main(["users", "list"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "atelier-admin: DATABASE_URL must be a postgresql:// address\n",
    )


def test_the_edit_of_the_config_file_names_all_that_serve_would_take_a_default_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = {"generators": [], "min_replicas": 0, "max_replicas": 4, "max_managers": 12}
    own = [{"name": "image", "autoscaling_config": {"min_replicas": 2, "max_replicas": 6}}]
    config = tmp_path / "serve_config.yaml"
    config.write_text(yaml.safe_dump({"applications": [{"args": args, "deployments": own}]}))

    def edit(*words: str) -> list[str]:
        assert main(["scale", *words, "--print", "--config", str(config)]) == 0
        return capsys.readouterr().out.splitlines()

    assert edit("image", "--max", "8") == [
        "# in serve_config.yaml, under `- name: atelier`",
        "    deployments:",
        "    - name: image",
        "      autoscaling_config:",
        "        min_replicas: 2",
        "        max_replicas: 8",
        "        upscale_delay_s: 0",
        "        downscale_delay_s: 0",
    ]
    assert edit("video3d", "--min", "6")[4:6] == [
        "        min_replicas: 6",
        "        max_replicas: 6",
    ]
    managers = edit("gpu_manager", "--max", "8")
    assert managers[4:6] == ["        min_replicas: 1", "        max_replicas: 8"]
