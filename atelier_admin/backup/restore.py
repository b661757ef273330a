"""A data folder from a backup: fetched and verified first, then built, replayed and checked."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from atelier_admin.backup import bucket, checks
from atelier_admin.backup.archive import FetchedLog, fetch_log
from atelier_admin.backup.choice import choose
from atelier_admin.backup.database import ARCHIVE, combine, verify_folder
from atelier_admin.backup.documents import DOCUMENTS, load_documents
from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.manifests import Manifest, chain, read_manifests
from atelier_admin.backup.recovery import (
    Recovered,
    Timeline,
    forget_log,
    place,
    recover,
    refuse_left_database,
)
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.settings import SETTINGS
from atelier_admin.backup.source import keep_key
from atelier_admin.backup.targets import Target
from atelier_admin.backup.vault import Vault
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import FILE, State
from db.object_store import ObjectStore
from db.session import Sessions, make_sessions, open_engine
from db.settings import StoreSettings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """``target_time`` None is the newest there is; ``fresh_ports`` suits a copy beside the service.

    ``backup_id`` None is the newest backup that fits, and Postgres follows the newest timeline of
    the target. A backup that is named is followed on its own timeline, as if nothing had been
    restored since.

    ``stores`` is the object store to fill where it is not the embedded one: objects that it still
    has are left as they are.
    """

    target_time: datetime | None = None
    backup_id: str | None = None
    fresh_ports: bool = False
    stores: StoreSettings | None = None
    mongodb_url: str | None = None


@dataclass(frozen=True)
class Report:
    """What came back and what did not. ``seconds`` is from the first byte to the last check."""

    backup_id: str
    seconds: float
    target_time: datetime | None
    reached_target: bool
    last_commit: datetime | None
    bytes: int
    log: FetchedLog
    objects: int
    objects_wrong: dict[str, str]
    findings: checks.Findings
    documents: int | None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing or wrong, but perhaps objects without a row."""
        found = self.findings
        broken = found.differences or found.audit_broken_at is not None or found.missing
        return self.reached_target and not (self.log.lost or self.objects_wrong or broken)

    def as_json(self) -> dict[str, Any]:
        content = json.loads(json.dumps(asdict(self), default=str))
        return {**content, "is_whole": self.is_whole}


@dataclass(frozen=True)
class _Fetched:
    """A verified backup on this machine, before anything of the new data folder is there."""

    data: Path
    wal: Path
    settings: Path
    documents: Path | None
    log: FetchedLog


async def restore(target: Target, key: BackupKey, to: Path, options: Options, say: Say) -> Report:
    """Rebuild the data folder ``to``, check it, and leave it stopped, ready for ``./scripts/run``.

    Redis' data is not part of it: it starts empty, and maintenance pushes what is queued.

    Raises:
        BackupFailed: nothing fits, a key or a file is wrong: then ``to`` is as it was; or Postgres
            could not replay, and what there is of ``to`` is for looking at.
    """
    to = to.absolute()
    _refuse_occupied(to)
    building = to.with_name(to.name + ".restoring")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True, mode=0o700)
    began = time.monotonic()
    try:
        vault = Vault(target, key, building)
        manifests = await read_manifests(vault)
        chosen = choose(manifests, options.backup_id, options.target_time)
        say(f"restoring {chosen.id}, a backup that was finished at {chosen.finished_at}")
        fetched = await _fetch(vault, manifests, chosen, options, say)
        _lay_out(to, fetched, key, options.fresh_ports)
        return await _bring_up(vault, chosen, fetched, to, options, began, say)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _refuse_occupied(to: Path) -> None:
    if to.exists() and any(to.iterdir()):
        raise BackupFailed(f"{to} is not empty: move it away, or restore to another folder")


async def _fetch(
    vault: Vault, manifests: dict[str, Manifest], chosen: Manifest, options: Options, say: Say
) -> _Fetched:
    """Fetch and verify everything but the objects, and make one data folder of it."""
    assert chosen.postgres is not None
    folders = []
    for one in chain(manifests, chosen):
        folder = vault.scratch / one.id
        folder.mkdir(mode=0o700)
        await vault.fetch_folder(one.file(ARCHIVE).name, folder, one.file(ARCHIVE))
        await verify_folder(folder, one.id)
        folders.append(folder)
        say(f"{one.id} is verified")
    data = vault.scratch / "postgres"
    await combine(folders, data)
    wal = vault.scratch / "wal"
    follows_own = options.backup_id is not None
    log = await fetch_log(vault, chosen.postgres, data / "pg_wal", wal, follows_own)
    settings = vault.scratch / "settings"
    settings.mkdir(mode=0o700)
    await vault.fetch_folder(chosen.file(SETTINGS).name, settings, chosen.file(SETTINGS))
    documents = None
    if chosen.has(DOCUMENTS):
        documents = vault.scratch / DOCUMENTS
        await vault.fetch_file(chosen.file(DOCUMENTS).name, documents, chosen.file(DOCUMENTS))
    say(f"{log.segments} segments of the log, {len(log.lost)} lost")
    return _Fetched(data, wal, settings, documents, log)


def _lay_out(to: Path, fetched: _Fetched, key: BackupKey, fresh_ports: bool) -> None:
    to.mkdir(parents=True, exist_ok=True)
    to.chmod(0o711)  # Postgres' account passes through
    try:
        refuse_left_database(to)
    except BackupFailed:
        to.rmdir()
        raise
    for path in (fetched.settings / "data").iterdir():
        shutil.copy2(path, to / path.name)
    shutil.copytree(fetched.settings / "service", to / "restored_settings")
    (to / "restored_settings").chmod(0o700)
    if fresh_ports:
        state = json.loads((to / FILE).read_text())
        kept = {name: value for name, value in state.items() if not name.endswith("_port")}
        (to / FILE).write_text(json.dumps(kept))
    if fetched.documents is not None:
        shutil.copy2(fetched.documents, to / DOCUMENTS)
    keep_key(to, key)
    place(to, fetched.data, fetched.wal)


async def _bring_up(
    vault: Vault,
    chosen: Manifest,
    fetched: _Fetched,
    to: Path,
    options: Options,
    began: float,
    say: Say,
) -> Report:
    timeline: Timeline = "latest" if options.backup_id is None else "current"
    recovered = await asyncio.to_thread(recover, to, options.target_time, timeline)
    try:
        say(f"Postgres is up; its last transaction is of {recovered.last_commit}")
        url = recovered.postgres.environment()["DATABASE_URL"]
        engine = open_engine(url, connections=4)
        try:
            report = await _fill_and_check(
                vault, chosen, fetched, to, options, recovered, make_sessions(engine)
            )
        finally:
            await engine.dispose()
    finally:
        await asyncio.to_thread(recovered.postgres.stop)
    forget_log(to)
    report = replace(report, seconds=time.monotonic() - began)
    (to / "restore.json").write_text(json.dumps(report.as_json(), indent=1))
    (to / "restore.json").chmod(0o600)
    return report


async def _fill_and_check(
    vault: Vault,
    chosen: Manifest,
    fetched: _Fetched,
    to: Path,
    options: Options,
    recovered: Recovered,
    sessions: Sessions,
) -> Report:
    # Without a moment asked for, what is restored is the newest of both.
    inventory = await bucket.read_inventory(vault, chosen, options.target_time)
    weed = EmbeddedSeaweedFS(to, State(to)) if options.stores is None else None
    try:
        if weed is not None:
            await asyncio.to_thread(weed.start)
        objects = ObjectStore.open(options.stores or _stores(to, recovered, weed))
        await objects.prepare()
        there = {info.key: info for info in await objects.list("")}
        wanted = [
            entry
            for entry in inventory.values()
            if entry.key not in there or there[entry.key].size != entry.size
        ]
        kinds = {key: mimetypes.guess_type(key)[0] or "" for key in inventory}
        kinds = {key: kind for key, kind in kinds.items() if kind}
        kinds |= await checks.content_types(sessions)
        wrong = await bucket.put_back(vault, objects, wanted, kinds)
        keys = [info.key for info in await objects.list("")]
        findings = await checks.check(sessions, keys)
    finally:
        if weed is not None:
            await asyncio.to_thread(weed.stop)
    documents = None
    if fetched.documents is not None and options.mongodb_url is not None:
        documents = await load_documents(options.mongodb_url, fetched.documents)
    return Report(
        backup_id=chosen.id,
        seconds=0.0,
        target_time=options.target_time,
        reached_target=recovered.reached_target,
        last_commit=recovered.last_commit,
        bytes=sum(f.size for f in chosen.files) + sum(entry.size for entry in wanted),
        log=fetched.log,
        objects=len(wanted),
        objects_wrong=wrong,
        findings=findings,
        documents=documents,
    )


def _stores(to: Path, recovered: Recovered, weed: EmbeddedSeaweedFS | None) -> StoreSettings:
    assert weed is not None
    # Redis is not asked for anything: it starts empty, later.
    given: dict[str, Any] = {"MONGODB_URL": None, "REDIS_URL": "redis://127.0.0.1/0"}
    given |= recovered.postgres.environment() | weed.environment()
    return StoreSettings(**given)
