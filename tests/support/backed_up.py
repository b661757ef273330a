"""A small service of its own to back up, lose and restore: real Postgres and SeaweedFS."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import insert

from atelier_admin.backup.backup import Options, back_up
from atelier_admin.backup.manifests import Manifest
from atelier_admin.backup.restore import Options as RestoreOptions
from atelier_admin.backup.restore import Report, restore
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.source import Source, keep_key, open_source
from atelier_admin.backup.targets import FolderTarget, Target
from atelier_admin.backup.vault import Vault
from atelier_admin.backup.wal import Archiver
from db.embedded.postgres import EmbeddedPostgres
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import FILE, State
from db.ids import new_id
from db.migrate import upgrade
from db.object_store import ObjectStore, output_key
from db.session import Sessions, make_sessions, open_engine
from db.tables import File
from tests.support.jobs import new_user, submit
from tests.support.scribe import SPEC
from tests.support.waiting import HANG_S


@dataclass
class House:
    """A service under ``folder``; backups go to ``target``."""

    folder: Path
    source: Source
    key: BackupKey
    target: Target
    sessions: Sessions
    objects: ObjectStore
    said: list[str] = field(default_factory=list)

    @property
    def vault(self) -> Vault:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return Vault(self.target, self.key, scratch)

    async def make_job(self, content: bytes) -> str:
        """Somebody pays for a job, and a file of it is in the bucket and in the database."""
        user_id = await new_user(self.sessions)
        job_id = await submit(self.sessions, SPEC, user_id, text="a word")
        key = output_key(user_id, job_id, 1, "made.txt")
        stored = await self.objects.put_bytes(key, content, "text/plain")
        row = {
            "id": new_id("file"),
            "user_id": user_id,
            "job_id": job_id,
            "purpose": "output",
            "object_key": key,
            "name": "made.txt",
            "content_type": "text/plain",
            "bytes": stored.size,
            "sha256": stored.sha256,
        }
        async with self.sessions.begin() as session:
            await session.execute(insert(File).values(**row))
        return job_id

    async def back_up(self, full: bool = False, keep_full: int = 7) -> Manifest:
        options = Options(full=full, keep_full=keep_full)
        return await back_up(self.source, self.target, self.key, options, self.said.append)

    async def restore(self, name: str = "restored", key: BackupKey | None = None,
                      options: RestoreOptions | None = None) -> Report:  # fmt: skip
        given = options or RestoreOptions(fresh_ports=True)
        to = self.folder / name
        return await restore(self.target, key or self.key, to, given, self.said.append)

    @asynccontextmanager
    async def archiving(self) -> AsyncIterator[Archiver]:
        """The archiver, often; at the end all that was written until then is copied."""
        assert self.source.postgres is not None
        archiver = Archiver(self.vault, self.source, self.source.postgres, 0.2, 0.2)
        running = asyncio.create_task(archiver.run())
        try:
            yield archiver
        finally:
            archiver.stop.set()
            await running

    async def until_archived(self, archiver: Archiver) -> None:
        """Until all that was committed up to now is at the target."""
        assert self.source.postgres is not None
        with psycopg.connect(self.source.postgres.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
            assert row is not None
            query = (
                "SELECT flush_lsn >= %s FROM pg_stat_replication"
                " WHERE application_name = 'pg_receivewal'"
            )
            async with asyncio.timeout(HANG_S):
                while connection.execute(query, row).fetchone() != (True,):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await archiver.copy_log()
        await archiver.copy_objects()

    def switch_segment(self) -> None:
        assert self.source.postgres is not None
        with psycopg.connect(self.source.postgres.url, autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")


@contextmanager
def migrated_data() -> Iterator[Path]:
    """A data folder with a migrated database and no server: ``house`` starts from copies of it.

    Commits need not survive a power cut, neither here nor in what is restored from its backups;
    all else is as in production, full-page writes too.
    """
    data = Path(tempfile.mkdtemp(prefix="atl-migrated-", dir="/tmp"))
    data.chmod(0o711)
    postgres = EmbeddedPostgres(data, State(data))
    try:
        postgres.start()
        url = postgres.environment()["DATABASE_URL"]
        upgrade(url)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
        postgres.stop()
        yield data
    finally:
        postgres.process.stop(signal.SIGQUIT)
        shutil.rmtree(data, ignore_errors=True)


def _move_in(data: Path, migrated: Path) -> None:
    """Put the database of ``migrated`` into ``data``, for a port of its own."""
    # Not copytree: the files belong to the account that Postgres runs as.
    subprocess.run(["cp", "-a", migrated / "postgres", data], check=True)
    known = json.loads((migrated / FILE).read_text())
    secrets = {name: value for name, value in known.items() if not name.endswith("_port")}
    (data / FILE).touch(mode=0o600)
    (data / FILE).write_text(json.dumps(secrets))


@asynccontextmanager
async def house(migrated: Path | None = None) -> AsyncIterator[House]:
    """Started and migrated; whatever is under its folder goes at the end.

    ``migrated`` is a data folder of which it gets a copy. Without, everything is made anew and is
    as in production, ``fsync`` too.
    """
    folder = Path(tempfile.mkdtemp(prefix="atl-backup-", dir="/tmp"))
    folder.chmod(0o711)
    data = folder / "data"
    data.mkdir(mode=0o711)
    if migrated is not None:
        _move_in(data, migrated)
    state = State(data)
    postgres, weed = EmbeddedPostgres(data, state), EmbeddedSeaweedFS(data, state)
    try:
        postgres.start()
        weed.start()
        url = postgres.environment()["DATABASE_URL"]
        upgrade(url)
        source = open_source(data, {})
        objects = ObjectStore.open(source.stores)
        await objects.prepare()
        engine = open_engine(url)
        try:
            target = FolderTarget(folder / "target")
            key = keep_key(data)
            yield House(folder, source, key, target, make_sessions(engine), objects)
        finally:
            await engine.dispose()
    finally:
        postgres.process.stop(signal.SIGQUIT)
        weed.process.stop(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def lose(found: House) -> None:
    """The disk with the data folder is gone, servers and all."""
    state = State(found.source.data)
    for server in (
        EmbeddedPostgres(found.source.data, state),
        EmbeddedSeaweedFS(found.source.data, state),
    ):
        assert server.process.adopt()
        server.process.stop(signal.SIGKILL)
    shutil.rmtree(found.source.data)
