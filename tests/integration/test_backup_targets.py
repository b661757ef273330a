"""Folders and buckets as targets, and the commands as an operator calls them."""

import asyncio
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from atelier_admin.backup.bucket import INVENTORY
from atelier_admin.backup.errors import BackupFailed, Corrupted
from atelier_admin.backup.recovery import remove_database
from atelier_admin.backup.targets import BucketTarget, FolderTarget, Target, open_target
from atelier_admin.backup.vault import Vault
from atelier_admin.main import main
from db.embedded.process import Command, ServerProcess
from db.object_store import ObjectStore
from db.operations.backups import ages
from db.settings import StoreSettings
from tests.support.backed_up import House, house, lose
from tests.support.waiting import HANG_S, until


@pytest.fixture
async def home(migrated_data: Path) -> AsyncIterator[House]:
    async with house(migrated_data) as found:
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


async def test_what_cannot_be_copied_does_not_fill_the_disk(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is away: beyond a bound the server keeps the log, which it bounds itself."""
    await home.back_up()

    async def away(*_: object) -> None:
        raise OSError("the target is away")

    monkeypatch.setattr("atelier_admin.backup.wal.MAX_SPOOL_BYTES", 2 << 24)
    async with home.archiving() as archiver:
        with monkeypatch.context() as patch:
            patch.setattr(Vault, "store_file", away)
            await until(lambda: archiver._receiver.alive())
            async with asyncio.timeout(HANG_S):
                while archiver._receiver.alive():
                    home.switch_segment()
                    await home.make_job(b"in between")
                    await asyncio.sleep(0.2)
        await until(lambda: archiver._receiver.alive())
        await home.until_archived(archiver)
    report = await home.restore()
    assert report.is_whole and report.findings.jobs >= 1


async def test_what_is_written_while_the_receiver_starts_is_kept(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.back_up()
    await home.make_job(b"before the log is received")
    start = ServerProcess.start

    def start_late(process: ServerProcess, command: Command) -> None:
        home.switch_segment()
        start(process, command)

    with monkeypatch.context() as patch:
        patch.setattr(ServerProcess, "start", start_late)
        async with home.archiving() as archiver:
            await until(lambda: archiver._receiver.alive())
            await home.until_archived(archiver)
    report = await home.restore()
    assert report.is_whole and report.findings.jobs == 1


async def test_the_archiver_tells_the_age_of_its_copy(home: House) -> None:
    async def age() -> timedelta | None:
        async with home.sessions() as session:
            return (await ages(session))["wal"]

    await home.back_up()
    assert await age() is None
    async with home.archiving():

        async def told() -> bool:
            return await age() is not None

        await until(told)


async def test_a_bucket_of_backups_keeps_the_rules_of_its_owner(
    store_settings: StoreSettings,
) -> None:
    """It is made if it is not there, and configured by nobody."""
    configured: list[str] = []
    settings = store_settings.model_copy(update={"s3_bucket": "of-the-owner"})
    objects = ObjectStore.open(settings)
    for name in ("_make_private", "_enable_versioning", "_set_lifecycle", "_enable_encryption"):
        setattr(objects, name, lambda name=name: configured.append(name))
    target = BucketTarget(objects, "backups")
    await target.prepare()
    await objects.ping()
    assert configured == []


async def test_a_damaged_list_of_objects_does_not_stop_backups(home: House) -> None:
    await home.make_job(b"to be copied again")
    first = await home.back_up()
    (home.folder / "target" / first.file(INVENTORY).name).write_bytes(b"damaged")
    second = await home.back_up()
    assert any("copying every object anew" in line for line in home.said)
    report = await home.restore()
    assert report.backup_id == second.id and report.is_whole


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
