"""The log of Postgres, streamed by ``pg_receivewal`` and copied to the target as it is written.

A segment is 16 MiB. The one that is being written is copied, too, every few seconds
(``.partial``), so that a loss costs seconds and not a segment. The bucket is looked at now and
then, and its changes are journaled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import structlog

from atelier_admin.backup import bucket
from atelier_admin.backup.backup import WORK, newest_inventory
from atelier_admin.backup.failures import FAILURES
from atelier_admin.backup.manifests import read_manifests
from atelier_admin.backup.programs import environment, program, run_program
from atelier_admin.backup.retention import segment_number
from atelier_admin.backup.source import PostgresAddress, Source
from atelier_admin.backup.vault import Vault
from db.embedded.process import Command, ServerProcess
from db.object_store import ObjectStore

SLOT = "atelier_backup"
PARTIAL = ".partial"
# What may wait on this machine while the target is away. Beyond it the server keeps the log, for
# as long as max_slot_wal_keep_size lets it: the disk that fills would be the database's.
MAX_SPOOL_BYTES = 2 << 30
LAST_COPY_TIMEOUT_S = 30.0

log = structlog.get_logger(__name__)


@dataclass
class Archiver:
    """Copies the log of one server; ``stop`` ends it after the round that it is in."""

    vault: Vault
    source: Source
    address: PostgresAddress
    every_s: float = 10.0
    objects_every_s: float = 60.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.spool = self.source.data / WORK / "wal"
        # Its pid is on record: an archiver that was killed leaves it running, and holding the slot.
        self._receiver = ServerProcess("pg_receivewal", self.spool.parent)
        self._copied: dict[str, str] = {}  # SHA-256 of what was copied, by name
        self._inventory: bucket.Inventory | None = None
        self._looked = float("-inf")

    async def run(self) -> None:
        """Copy until ``stop`` is set. What fails is logged and tried again in the next round."""
        try:
            while not self.stop.is_set():
                await self._round()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), self.every_s)
        finally:
            await asyncio.to_thread(self._receiver.stop, signal.SIGINT)
            with contextlib.suppress(*FAILURES, TimeoutError):
                async with asyncio.timeout(LAST_COPY_TIMEOUT_S):
                    await self.copy_log()

    async def _round(self) -> None:
        """Receive and copy. Neither waits for the other: while Postgres is away, what was received
        is copied all the same."""
        good = [await self._try(self._receive), await self._try(self._copy)]
        if all(good):
            await self._try(self._record)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except FAILURES as error:
            log.warning("wal_not_archived", error=f"{type(error).__name__}: {error}"[:500])
            return False
        return True

    async def _receive(self) -> None:
        await asyncio.to_thread(self._beat)
        await self._keep_receiving()

    async def _copy(self) -> None:
        await self.copy_log()
        if asyncio.get_running_loop().time() - self._looked >= self.objects_every_s:
            await self.copy_objects()
            self._looked = asyncio.get_running_loop().time()

    async def _record(self) -> None:
        """Note in the database that the copy is as old as this round; alerts look at it."""

        def write() -> None:
            with psycopg.connect(self.address.url, connect_timeout=5) as connection:
                connection.execute(
                    "INSERT INTO backups (id, kind, started_at, finished_at, seconds, bytes, ok)"
                    " VALUES ('bkp_wal', 'wal', now(), now(), 0, 0, true)"
                    " ON CONFLICT (id) DO UPDATE SET finished_at = now()"
                )

        await asyncio.to_thread(write)

    def _beat(self) -> None:
        """Commit nothing, so that the age of the last commit tells the age of the copy."""
        with psycopg.connect(self.address.url, connect_timeout=5) as connection:
            connection.execute("SELECT pg_logical_emit_message(true, 'atelier', 'heartbeat')")

    async def _keep_receiving(self) -> None:
        if self._spooled() > MAX_SPOOL_BYTES:
            log.error("wal_spool_full", bytes=MAX_SPOOL_BYTES)
            await asyncio.to_thread(self._receiver.stop, signal.SIGINT)
            return
        if self._receiver.alive() or self._receiver.adopt():
            return
        self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        if await asyncio.to_thread(self._slot_is_lost):
            # The server needed its disk: what it wrote in between is gone. The next base backup
            # starts a log without a gap.
            log.error("wal_lost", slot=SLOT)
            await self.copy_log()
            await run_program(
                "pg_receivewal", f"--slot={SLOT}", "--drop-slot", address=self.address
            )
            shutil.rmtree(self.spool)
            self.spool.mkdir(mode=0o700)
        await asyncio.to_thread(self._create_slot)
        options = [f"--slot={SLOT}", f"--directory={self.spool}", "--synchronous", "--no-loop"]
        command = [program("pg_receivewal"), *self.address.arguments, *options]
        self._receiver.start(
            Command([*command, "--status-interval=1"], self.spool, environment(self.address))
        )

    def _spooled(self) -> int:
        if not self.spool.is_dir():
            return 0
        return sum(path.stat().st_size for path in self.spool.iterdir())

    def _slot_is_lost(self) -> bool:
        with psycopg.connect(self.address.url, connect_timeout=5) as connection:
            query = (
                "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND wal_status = 'lost'"
            )
            return connection.execute(query, (SLOT,)).fetchone() is not None

    def _create_slot(self) -> None:
        """The server keeps its log from here on. One that ``pg_receivewal`` creates keeps nothing
        until that streams, which a busy machine may take seconds for."""
        with psycopg.connect(self.address.url, connect_timeout=5) as connection:
            connection.execute(
                "SELECT pg_create_physical_replication_slot(%(name)s, true) WHERE NOT EXISTS"
                " (SELECT 1 FROM pg_replication_slots WHERE slot_name = %(name)s)",
                {"name": SLOT},
            )

    async def copy_log(self) -> None:
        """Copy the segments that are new or were written to; the spool keeps the newest whole one.

        Raises:
            StoreUnavailable, OSError: the target does not answer.
        """
        names = sorted(path.name for path in self.spool.iterdir())
        whole = [name for name in names if segment_number(name) and not name.endswith(PARTIAL)]
        for name in names:
            path = self.spool / name
            try:
                digest = await asyncio.to_thread(_digest, path)
                if self._copied.get(name) == digest:
                    continue
                await self.vault.store_file(f"wal/{name}", path)
            except FileNotFoundError:
                continue  # it was the partial one, and is whole now
            self._copied[name] = digest
            if name in whole:
                await self.vault.delete([f"wal/{name}{PARTIAL}"])
        for name in whole[:-1]:  # pg_receivewal goes on after the newest
            if name in self._copied:
                (self.spool / name).unlink()
                del self._copied[name]

    async def copy_objects(self) -> None:
        """Copy new objects and journal what changed since the last look.

        Raises:
            StoreUnavailable, OSError: the bucket or the target does not answer.
        """
        if self._inventory is None:
            manifests = await read_manifests(self.vault)
            if not manifests:
                return  # the first backup has the whole inventory
            self._inventory = await newest_inventory(self.vault, manifests)
        listed_at = datetime.now(UTC)
        objects = ObjectStore.open(self.source.stores)
        inventory, _ = await bucket.copy_new(self.vault, objects, self._inventory)
        await bucket.store_changes(self.vault, listed_at, self._inventory, inventory)
        self._inventory = inventory


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
