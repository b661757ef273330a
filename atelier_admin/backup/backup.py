"""One backup: Postgres, then the bucket, documents and settings, and the manifest last."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from atelier_admin.backup import bucket, retention
from atelier_admin.backup.database import back_up_database, position
from atelier_admin.backup.documents import DOCUMENTS, dump_documents
from atelier_admin.backup.errors import BackupFailed, Corrupted
from atelier_admin.backup.manifests import (
    Manifest,
    PostgresPart,
    chain,
    path_of,
    read_manifests,
    remove_halves,
    write_manifest,
)
from atelier_admin.backup.programs import ProgramFailed
from atelier_admin.backup.sealed import BackupKey
from atelier_admin.backup.settings import SETTINGS, collect_settings
from atelier_admin.backup.source import Source
from atelier_admin.backup.targets import Target
from atelier_admin.backup.vault import SealedFile, Vault
from db.object_store import ObjectStore
from db.operations import backups
from db.session import make_sessions, open_engine

ROOT = Path(__file__).parents[2]
WORK = "backup"  # the folder of backups in the data folder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """``full_after`` is how long incremental backups stand on one full backup."""

    full: bool = False
    keep_full: int = 7
    full_after: timedelta = timedelta(days=7)
    settings_files: Iterable[Path] = ()


@contextmanager
def work_folder(data: Path) -> Iterator[Path]:
    """Hold ``data``'s folder for one backup at a time; what a killed one left is removed.

    Raises:
        BackupFailed: another backup runs.
    """
    folder = data / WORK
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"another backup of {data} runs") from None
        for left in folder.glob("scratch-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


async def back_up(
    source: Source, target: Target, key: BackupKey, options: Options, say: Say
) -> Manifest:
    """Make a backup, record it in the database, and delete those beyond the policy.

    Raises:
        BackupFailed, ProgramFailed, StoreUnavailable: it was not made; earlier ones are whole.
    """
    started = datetime.now(UTC)
    url = source.stores.database_url.get_secret_value()
    with work_folder(source.data) as scratch:
        vault = Vault(target, key, scratch)
        try:
            await target.prepare()
            manifests = await read_manifests(vault)
            for half in await remove_halves(vault, manifests):
                say(f"removed {half}: a backup that was never finished")
            made = await _make(source, vault, manifests, options, started, say)
        except Exception as error:
            failed = {"error": str(error)[:500]}
            await record(url, "base", started, 0, False, failed, say)
            raise
        size = sum(file.stored for file in made.files)
        detail = {"id": made.id, "parent": made.parent}
        kind = made.kind if made.postgres is not None else "objects"
        await record(url, kind, started, size, True, detail, say)
        try:
            for gone in await retention.prune(vault, options.keep_full):
                say(f"deleted {gone}: older than the {options.keep_full} full backups kept")
        except Corrupted as error:  # it does not say what it needs, so nothing may go
            say(f"nothing was deleted: {error}")
    return made


async def _make(
    source: Source,
    vault: Vault,
    manifests: dict[str, Manifest],
    options: Options,
    started: datetime,
    say: Say,
) -> Manifest:
    backup_id = started.strftime("%Y%m%dT%H%M%S%fZ")
    files: list[SealedFile] = []
    part: PostgresPart | None = None
    parent = None if options.full else _parent(source, manifests, options, started)
    if source.postgres is None:
        say("Postgres is not the embedded one: its provider's backups must bring it back")
    else:
        try:
            part, files = await back_up_database(vault, source.postgres, backup_id, parent)
        except ProgramFailed as error:
            if parent is None:
                raise
            say(f"making a full backup, since an incremental one was refused: {error}")
            shutil.rmtree(vault.scratch / "postgres", ignore_errors=True)
            parent = None
            part, files = await back_up_database(vault, source.postgres, backup_id, None)
        shutil.rmtree(vault.scratch / "postgres")
    # After Postgres: an object without a row is harmless, a row without its object a broken link.
    listed_at = datetime.now(UTC)
    known = await _known_objects(vault, manifests, options, say)
    inventory, copied = await bucket.copy_new(vault, ObjectStore.open(source.stores), known)
    files.append(await bucket.store_inventory(vault, backup_id, inventory))
    say(f"{len(inventory)} objects, {copied} bytes of them new")
    if source.stores.mongodb_url is not None:
        path = vault.scratch / DOCUMENTS
        await dump_documents(source.stores.mongodb_url.get_secret_value(), path)
        files.append(await vault.store_file(path_of(backup_id, DOCUMENTS), path))
    folder = vault.scratch / "settings"
    collect_settings(source.data, ROOT, options.settings_files, folder)
    files.append(await vault.store_folder(path_of(backup_id, SETTINGS), folder))
    made = Manifest(
        id=backup_id,
        kind="base" if parent is None else "incremental",
        parent=parent.id if parent is not None else None,
        started_at=started,
        listed_at=listed_at,
        finished_at=datetime.now(UTC),
        postgres=part,
        files=files,
    )
    await write_manifest(vault, made)
    return made


async def _known_objects(
    vault: Vault, manifests: dict[str, Manifest], options: Options, say: Say
) -> bucket.Inventory:
    """Return the objects that need no copy. A full backup copies all, and so mends lost copies."""
    if options.full:
        return {}
    try:
        return await newest_inventory(vault, manifests)
    except Corrupted as error:
        say(f"copying every object anew: {error}")
        return {}


async def newest_inventory(vault: Vault, manifests: dict[str, Manifest]) -> bucket.Inventory:
    """Return the objects that were there at the last look, of a backup or of the archiver."""
    newest = list(manifests.values())[-1:]
    return await bucket.read_inventory(vault, newest[0]) if newest else {}


def _parent(
    source: Source, manifests: dict[str, Manifest], options: Options, now: datetime
) -> Manifest | None:
    """Return the newest backup if this one may stand on it: same server, timeline and week."""
    if source.postgres is None or not manifests:
        return None
    newest = list(manifests.values())[-1]
    if newest.postgres is None:
        return None
    try:
        full = chain(manifests, newest)[0]
    except Corrupted:
        return None
    if now - full.started_at > options.full_after:
        return None
    here = position(source.postgres)
    there = newest.postgres
    same = (here.system_id, here.timeline) == (there.system_id, there.timeline)
    return newest if same else None


async def record(
    database_url: str,
    kind: str,
    started: datetime,
    size: int,
    ok: bool,
    detail: Mapping[str, object],
    say: Say,
) -> None:
    """Write a row of ``backups``. A database that is away does not make a backup fail."""
    engine = open_engine(database_url, connections=2)
    try:
        async with make_sessions(engine).begin() as session:
            await backups.record(
                session,
                kind=kind,
                started_at=started,
                finished_at=datetime.now(UTC),
                size=size,
                ok=ok,
                detail=detail,
            )
    except SQLAlchemyError as error:
        say(f"the result is not recorded: the database does not answer ({type(error).__name__})")
    finally:
        await engine.dispose()
