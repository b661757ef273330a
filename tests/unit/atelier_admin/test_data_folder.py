"""Which data folder ``atelier-admin`` uses where nobody names one."""

import argparse
import os
from pathlib import Path

import pytest

from atelier_admin import diagnosis, servers
from atelier_admin.backup.commandline import add_options
from atelier_admin.servers import data_folder, find_settings
from db.embedded.state import FILE


def test_it_is_the_one_of_the_environment_for_every_subcommand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(servers, "ROOT", tmp_path)  # this checkout may have been run
    monkeypatch.setenv("ATELIER_DATA_DIR", "/var/lib/atelier")
    assert data_folder(None) == Path("/var/lib/atelier")
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert parser.parse_args([]).data == Path("/var/lib/atelier")
    assert parser.parse_args(["--data", "other"]).data == data_folder(Path("other"))


def test_a_run_is_found_beside_the_folder_of_another_postgres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / ".atelier"
    run.mkdir()
    (run / FILE).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_DATA_DIR", str(tmp_path / "postgresql"))
    assert data_folder(None) == run


def test_a_database_of_the_environment_is_not_mixed_with_that_folder(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    environ = {"DATABASE_URL": "postgresql://db/atelier", "ATELIER_DATA_DIR": str(tmp_path)}
    assert find_settings(None, environ) == {}


@pytest.mark.parametrize("database", ["postgresql://db/atelier", ""])
def test_a_node_need_not_write_there_and_a_run_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    for check in ("check_gpu", "check_profile", "check_node", "check_idle"):
        monkeypatch.setattr(diagnosis, check, lambda *_: [])
    monkeypatch.setattr(os, "access", lambda *_: False)

    def complaints() -> list[str]:
        found = diagnosis.examine(tmp_path / "data")
        return [one.message for one in found if one.subject == "data"]

    assert len(complaints()) == (0 if database else 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_text("{}")
    assert len(complaints()) == 1, "the data of a run lie there"
