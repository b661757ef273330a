"""Folders and buckets as targets, and the commands as an operator calls them."""

import asyncio
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atelier_admin.backup.errors import BackupFailed, Corrupted
from atelier_admin.backup.recovery import remove_database
from atelier_admin.backup.targets import FolderTarget, Target, open_target
from atelier_admin.main import main
from db.settings import StoreSettings
from tests.support.backed_up import House, house, lose


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as found:
        yield found


@pytest.fixture(params=["folder", "bucket"])
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, store_settings: StoreSettings
) -> Target:
    bucket = f"backups-{secrets.token_hex(4)}"
    url = f"file://{tmp_path}/a%20b" if request.param == "folder" else f"s3://{bucket}/some/where"
    made = open_target(url, store_settings, {})
    await made.prepare()
    await made.prepare()
    return made


async def test_a_target_keeps_files(target: Target, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    for name, content in (("base/1/manifest", b"one"), ("wal/2", b"two"), ("wal/2", b"again")):
        source.write_bytes(content)
        await target.put(name, source)
    assert [(file.name, file.size) for file in await target.list("wal/")] == [("wal/2", 5)]
    assert [file.name for file in await target.list("")] == ["base/1/manifest", "wal/2"]
    assert await target.list("nothing/") == []
    await target.get("wal/2", copy)
    assert copy.read_bytes() == b"again"
    await target.delete(["wal/2", "wal/never"])
    assert await target.list("wal/") == []
    with pytest.raises(Corrupted, match="wal/2 is missing"):
        await target.get("wal/2", copy)


async def test_what_is_no_target_is_refused(store_settings: StoreSettings) -> None:
    for url in ("ftp://a/b", "file://host/folder", "s3://"):
        with pytest.raises(BackupFailed):
            open_target(url, store_settings, {})
    with pytest.raises(BackupFailed, match="is the bucket that is to be backed up"):
        open_target(f"s3://{store_settings.s3_bucket}/backups", store_settings, {})
    with pytest.raises(BackupFailed, match="BACKUP_S3_ENDPOINT"):
        open_target("s3://bucket", None, {})


async def test_a_backup_in_a_bucket_comes_back(home: House, store_settings: StoreSettings) -> None:
    """In another store than the one that is lost."""
    environ = {
        "BACKUP_S3_ENDPOINT": store_settings.s3_endpoint,
        "BACKUP_S3_ACCESS_KEY": store_settings.s3_access_key.get_secret_value(),
        "BACKUP_S3_SECRET_KEY": store_settings.s3_secret_key.get_secret_value(),
    }
    url = f"s3://backups-{secrets.token_hex(4)}/atelier"
    home.target = open_target(url, home.source.stores, environ)
    await home.make_job(b"in the bucket")
    await home.back_up()
    lose(home)
    home.target = open_target(url, None, environ)
    report = await home.restore("data")
    assert report.is_whole, report.as_json()
    assert report.objects == 1


async def test_an_operator_backs_up_loses_all_and_restores_with_the_key_that_was_told(
    home: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("S3_", "BACKUP_", "DATABASE_", "MONGODB_")):
            monkeypatch.delenv(name)
    data = home.source.data
    (data / "backup.key").unlink()
    await home.make_job(b"an operator's")
    common = ["--data", str(data), "--target", str(home.folder / "target")]

    assert await asyncio.to_thread(main, ["backup", *common, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["kind"] == "base"
    key = re.search("BACKUP_KEY=([0-9a-f]{64})", told.err)
    assert key is not None

    assert await asyncio.to_thread(main, ["drill", *common]) == 0
    assert re.search(r"RPO .* RTO \d+\.\d s", capsys.readouterr().out)
    assert await asyncio.to_thread(main, ["backup", *common, "--status"]) == 0
    status = capsys.readouterr().out
    assert "incremental  never" in status and "last drill   good" in status

    lose(home)
    restoring = ["restore", *common, "--to", str(data)]
    assert await asyncio.to_thread(main, restoring) == 1
    assert "set BACKUP_KEY" in capsys.readouterr().err
    monkeypatch.setenv("BACKUP_KEY", "11" * 32)
    assert await asyncio.to_thread(main, restoring) == 1
    assert "was encrypted with the key" in capsys.readouterr().err
    assert not data.exists()
    monkeypatch.setenv("BACKUP_KEY", key[1])
    assert await asyncio.to_thread(main, restoring) == 0
    assert "1 jobs, 1 files, 1 objects put back" in capsys.readouterr().out


async def test_an_archiver_goes_on_where_a_killed_one_was(home: House) -> None:
    """Its receiver outlives it, and holds the slot."""
    await home.back_up()
    async with home.archiving() as killed:
        await home.until_archived(killed)
        orphan = killed._receiver.pid
        async with home.archiving() as heir:
            await home.make_job(b"for the heir")
            await home.until_archived(heir)
            assert heir._receiver.pid == orphan
    report = await home.restore()
    assert report.is_whole and report.findings.jobs == 1


async def test_a_folder_shows_no_half_files(tmp_path: Path) -> None:
    target = FolderTarget(tmp_path / "target")
    await target.prepare()
    (tmp_path / "target" / "wal").mkdir()
    (tmp_path / "target" / "wal" / "1.part").write_bytes(b"half")
    assert await target.list("wal/") == []


async def test_it_is_restored_where_the_account_of_postgres_cannot_pass(home: House) -> None:
    """Below root's home; its data then lie under /var/tmp, and are not overwritten there."""
    await home.make_job(b"in a locked room")
    await home.back_up()
    room = home.folder / "locked"
    room.mkdir(mode=0o700)
    to = room / "data"
    report = await home.restore("locked/data")
    elsewhere = not (to / "postgres").exists()
    try:
        assert report.is_whole, report.as_json()
        assert elsewhere == (os.geteuid() == 0)
        if elsewhere:
            shutil.rmtree(to)
            with pytest.raises(BackupFailed, match="is there already"):
                await home.restore("locked/data")
            assert not to.exists()
            to.mkdir()
    finally:
        remove_database(to)
