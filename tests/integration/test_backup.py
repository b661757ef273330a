"""Backups of real servers come back: full, incremental, with the log, and to a moment."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from atelier_admin.backup.drill import drill
from atelier_admin.backup.errors import BackupFailed, Corrupted, WrongKey
from atelier_admin.backup.manifests import read_manifests
from atelier_admin.backup.restore import Options
from atelier_admin.backup.sealed import BackupKey
from db.embedded.postgres import EmbeddedPostgres
from db.embedded.process import ServerFailed
from db.operations import backups
from db.tables import Backup
from tests.support.backed_up import House, house, lose
from tests.support.waiting import eventually


@pytest.fixture
async def home(migrated_data: Path) -> AsyncIterator[House]:
    async with house(migrated_data) as found:
        yield found


async def test_a_lost_service_comes_back_with_its_last_second(home: House) -> None:
    """Full, incremental and log; the ledger reconciles and every object is what it was."""
    assert home.source.postgres is not None
    with psycopg.connect(home.source.postgres.url) as connection:  # as of every embedded server
        assert connection.execute("SHOW summarize_wal").fetchone() == ("on",)
        assert connection.execute("SHOW max_slot_wal_keep_size").fetchone() == ("4GB",)
    await home.make_job(b"in the full backup")
    async with home.archiving() as archiver:
        full = await home.back_up()
        await home.make_job(b"in the incremental one")
        incremental = await home.back_up()
        await home.make_job(b"in the log and the journal alone")
        await home.until_archived(archiver)
    assert (full.kind, incremental.kind, incremental.parent) == ("base", "incremental", full.id)
    assert (home.source.data / "backup.key").stat().st_mode & 0o777 == 0o600
    lose(home)

    report = await home.restore("data")

    assert report.backup_id == incremental.id
    assert report.is_whole, report.as_json()
    assert (report.findings.jobs, report.objects, report.findings.files) == (3, 3, 3)
    assert report.findings.without_row == []
    assert json.loads((home.folder / "data" / "restore.json").read_text())["is_whole"] is True
    assert not (home.folder / "data.restoring").exists()
    assert not (home.folder / "data" / "restored_wal").exists()


async def test_a_restored_service_can_be_backed_up_again(home: House) -> None:
    """On its new timeline, and with the key of before."""
    from atelier_admin.backup.source import find_key
    from db.embedded.supervisor import EmbeddedServers

    await home.make_job(b"kept")
    first = await home.back_up()
    lose(home)
    await home.restore("data")
    assert find_key(home.source.data, {}) == home.key
    servers = EmbeddedServers(home.source.data)
    servers.start()
    try:
        from atelier_admin.backup.source import open_source

        home.source = open_source(home.source.data, {})
        again = await home.back_up()
        assert again.postgres is not None
        assert (again.kind, again.postgres.timeline) == ("base", 2)
    finally:
        servers.stop()
    report = await home.restore("once_more")
    assert report.is_whole, report.as_json()
    assert (report.backup_id, report.findings.jobs) == (again.id, 1)

    named = Options(backup_id=first.id, fresh_ports=True)
    report = await home.restore("from_the_first", options=named)
    assert report.is_whole, report.as_json()
    assert (report.backup_id, report.findings.jobs) == (first.id, 1)
    unknown = Options(backup_id="20260101T000000000000Z", fresh_ports=True)
    with pytest.raises(BackupFailed, match=f"there are {again.id} .*, {first.id}"):
        await home.restore("from_none", options=unknown)
    assert not (home.folder / "from_none").exists()


async def test_a_moment_is_restored_and_nothing_after_it(home: House) -> None:
    await home.make_job(b"early")
    async with home.archiving() as archiver:
        await home.back_up()
        await home.make_job(b"before the mistake")
        moment = datetime.now(UTC)
        await home.make_job(b"after the mistake")
        await home.until_archived(archiver)
    report = await home.restore(options=Options(target_time=moment, fresh_ports=True))
    assert report.findings.jobs == 2
    assert report.reached_target
    assert report.findings.missing == [] and report.findings.differences == []
    assert report.last_commit is not None and report.last_commit <= moment


async def test_a_lost_piece_of_the_log_is_named_and_credits_balance(home: House) -> None:
    await home.make_job(b"in the backup")
    async with home.archiving() as archiver:
        await home.back_up()
        await home.make_job(b"before the gap")
        home.switch_segment()
        await home.until_archived(archiver)
        before = {file.name for file in await home.target.list("wal/")}
        await home.make_job(b"in the gap")
        home.switch_segment()
        await home.until_archived(archiver)
        gap = {f.name for f in await home.target.list("wal/")} - before
        await home.make_job(b"after the gap")
        home.switch_segment()
        await home.until_archived(archiver)
    # The piece at work may have been kept in part before, or not yet.
    begun = {name for name in before if name.endswith(".partial")}
    lost = min(name.removesuffix(".partial") for name in gap | begun)
    await home.target.delete([lost])
    lose(home)

    report = await home.restore("data")

    assert lost.removeprefix("wal/") == report.log.lost[0]
    assert len(report.log.lost) >= 2  # what follows a gap is lost, too
    assert not report.is_whole
    assert report.findings.jobs == 2
    assert report.findings.differences == []
    # The bucket is newer than the database.
    assert len(report.findings.without_row) == 2 and report.findings.missing == []


async def test_a_moment_beyond_the_log_restores_what_is_there(home: House) -> None:
    await home.make_job(b"all there is")
    await home.back_up()
    later = datetime(2999, 1, 1, tzinfo=UTC)
    report = await home.restore(options=Options(target_time=later, fresh_ports=True))
    assert not report.reached_target and not report.is_whole
    assert report.findings.jobs == 1 and report.findings.differences == []


async def test_a_server_that_answers_once_before_it_ends_is_started_without_a_moment(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, ended = EmbeddedPostgres.start, []

    def start(self: EmbeddedPostgres, ready_within_s: float = 60) -> None:
        """The first one ends by itself: the log ends before the moment that it is to reach."""
        with suppress(ServerFailed, psycopg.OperationalError):
            original(self, ready_within_s)
            if ended:
                return
        eventually(lambda: not self.process.alive())
        ended.append(self)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(EmbeddedPostgres, "start", start)
    await home.make_job(b"all there is")
    await home.back_up()
    later = datetime(2999, 1, 1, tzinfo=UTC)
    report = await home.restore(options=Options(target_time=later, fresh_ports=True))
    assert len(ended) == 1
    assert not report.reached_target
    assert report.findings.jobs == 1


async def test_a_job_whose_object_is_gone_is_named(home: House) -> None:
    job_id = await home.make_job(b"vanishes")
    await home.make_job(b"stays")
    keys = [info.key for info in await home.objects.list("outputs/") if job_id in info.key]
    await home.objects.delete(keys)
    await home.back_up()
    report = await home.restore()
    assert [(one.key, one.job_id) for one in report.findings.missing] == [(keys[0], job_id)]
    assert not report.is_whole


async def test_a_killed_backup_leaves_the_last_one_to_restore(home: House) -> None:
    await home.make_job(b"safe")
    last = await home.back_up()
    await home.make_job(b"in the backup that is killed")
    program = """
import os, signal, sys
from atelier_admin.backup import bucket
from atelier_admin.main import main
async def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
bucket.store_inventory = killed
main(sys.argv[1:])
"""
    command = ["backup", "--data", str(home.source.data), "--target", str(home.folder / "target")]
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *command,
        env={"PATH": os.defpath, "PYTHONPATH": str(root)},
    )
    assert await process.wait() == -signal.SIGKILL
    ids = {file.name.split("/")[1] for file in await home.target.list("base/")}
    half = (ids - {last.id}).pop()
    assert any((home.source.data / "backup").glob("scratch-*"))

    report = await home.restore()
    assert report.backup_id == last.id and report.is_whole
    assert report.findings.jobs == 1

    made = await home.back_up()
    assert f"removed {half}: a backup that was never finished" in home.said
    ids = {file.name.split("/")[1] for file in await home.target.list("base/")}
    assert ids == {last.id, made.id}
    assert not any((home.source.data / "backup").glob("scratch-*"))


async def test_what_does_not_fit_is_refused_before_anything_is_made(home: House) -> None:
    made = await home.back_up()
    other = BackupKey(bytes(32))
    with pytest.raises(WrongKey, match=f"key {home.key.id}, and BACKUP_KEY is {other.id}"):
        await home.restore(key=other)
    with pytest.raises(BackupFailed, match="64 hexadecimal digits"):
        BackupKey.parse("too short")
    for name in ("postgres.tar", "settings.tar", "manifest"):
        path = home.folder / "target" / "base" / made.id / name
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(Corrupted, match=name):
            await home.restore()
        path.write_bytes(whole)
    assert not (home.folder / "restored").exists()

    (home.folder / "restored").mkdir()
    (home.folder / "restored" / "mine").write_text("precious")
    with pytest.raises(BackupFailed, match="is not empty"):
        await home.restore()
    assert (home.folder / "restored" / "mine").read_text() == "precious"


async def test_a_damaged_object_is_named_and_the_rest_comes_back(home: House) -> None:
    await home.make_job(b"one")
    await home.make_job(b"two")
    await home.back_up()
    damaged = min((home.folder / "target" / "objects").rglob("*/*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    report = await home.restore()
    assert len(report.objects_wrong) == 1 and len(report.findings.missing) == 1
    assert not report.is_whole


async def test_retention_keeps_what_a_kept_backup_stands_on(home: House) -> None:
    await home.make_job(b"in all of them")
    first = await home.back_up()
    old = await home.back_up()
    assert (first.kind, old.parent) == ("base", first.id)
    second = await home.back_up(full=True, keep_full=2)
    newest = await home.back_up(keep_full=2)
    assert set(await read_manifests(home.vault)) == {first.id, old.id, second.id, newest.id}
    newest_again = await home.back_up(keep_full=1)
    left = await read_manifests(home.vault)
    assert set(left) == {second.id, newest.id, newest_again.id}
    assert newest_again.parent == newest.id
    assert {f.name.split("/")[1] for f in await home.target.list("base/")} == set(left)
    report = await home.restore()
    assert report.backup_id == newest_again.id and report.is_whole


async def test_a_drill_measures_beside_the_service_and_records_it(home: House) -> None:
    await home.make_job(b"practice")
    url = home.source.stores.database_url.get_secret_value()
    async with home.archiving() as archiver:
        await home.back_up()
        await home.until_archived(archiver)
        found = await drill(home.target, home.key, home.folder / "drills", url, home.said.append)
    assert found.report.is_whole, found.report.as_json()
    assert found.rpo_seconds is not None and 0 <= found.rpo_seconds < 60
    assert 0 < found.rto_seconds < 900
    assert list((home.folder / "drills").iterdir()) == []
    async with home.sessions() as session:
        row = await backups.last_drill(session)
        ages = await backups.ages(session)
        kinds = dict((await session.execute(select(Backup.kind, func.count()).group_by(Backup.kind))).all())  # fmt: skip  # noqa: E501
    assert row is not None and row.ok
    assert row.detail["rto_seconds"] == found.rto_seconds and row.detail["jobs"] == 1
    assert kinds == {"base": 1, "drill": 1, "wal": 1}
    assert ages["drill"] is not None and ages["base"] is not None and ages["incremental"] is None
    assert ages["base"] >= ages["drill"]
