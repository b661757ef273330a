"""Download the files that a job's input refers to: media, personas, outputs of earlier jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from db.accounts import files, personas
from db.errors import ObjectMissing, StoreUnavailable
from db.jobs import queries
from db.object_store import temp_key
from db.tables import Job
from deployments.contract import BadInput, EarlierJob, Persona, Request
from deployments.messaging import http_client
from deployments.references import (
    MAX_BYTES,
    FileId,
    JobId,
    Media,
    PersonaId,
    Reference,
    decode_data_uri,
    find_references,
)
from deployments.result_key import file_content, job_content, persona_content
from deployments.retry import STORE_DOWN, retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.context import FetchedInputs, RunContext

TIMEOUT_S = 60.0
KEPT = "kept"

log = structlog.get_logger(__name__)


class InputFetcher:
    """Downloads one job's references into ``folder``."""

    def __init__(
        self, stores: Stores, job: Job, context: RunContext, folder: Path, *, private: bool
    ) -> None:
        """``private`` allows media at addresses that are not public."""
        self._stores, self._job, self._context = stores, job, context
        self._folder, self._private = folder, private
        self._inputs: dict[str, Path] = {}
        self._personas: dict[str, Persona] = {}
        self._earlier: dict[str, EarlierJob] = {}
        self._contents: dict[str, Any] = {}
        self._of_personas: dict[str, Any] = {}

    async def fetch(self, request: Request) -> FetchedInputs:
        """Download every reference of ``request``, and the files that earlier attempts kept.

        Raises:
            BadInput: a file is gone, unreachable or too large; the job costs nothing.
            Stopped: the job was stopped meanwhile.
        """
        self._folder.mkdir()
        for reference in find_references(request):
            self._check()
            await self._fetch_one(reference)
        return FetchedInputs(
            self._inputs,
            self._personas,
            self._earlier,
            await self._fetch_kept_files(),
            self._contents,
        )

    async def _fetch_one(self, reference: Reference) -> None:
        match reference.target:
            case Media() as media:
                path = self._folder / reference.name
                await self._fetch_media(reference.name, media, path)
                self._inputs[reference.name] = path
            case JobId() as job_id:
                if job_id not in self._earlier:
                    self._earlier[job_id] = await self._fetch_job(reference.name, job_id)
                self._contents[reference.name] = job_content(job_id)
            case PersonaId() as persona_id:
                if persona_id not in self._personas:
                    await self._fetch_persona(reference.name, persona_id)
                self._contents[reference.name] = self._of_personas[persona_id]
            case FileId() as file_id:
                path = self._folder / reference.name
                await self._fetch_file(reference.name, file_id, path)
                self._inputs[reference.name] = path

    async def _fetch_media(self, name: str, media: Media, path: Path) -> None:
        max_bytes = MAX_BYTES[media.kind]
        if media.file_id is not None:
            await self._fetch_file(name, media.file_id, path)
        elif media.data is not None:
            path.write_bytes(decode_data_uri(media.data))
        elif media.url is not None:
            try:
                await http_client.download(
                    media.url, path, max_bytes, private=self._private, check=self._check
                )
            except http_client.ResponseTooLarge as error:
                raise BadInput(f"{name}: {error}.", "input_too_large") from error
            except http_client.RequestFailed as error:
                raise BadInput(f"{name}: {error}.", "input_unreachable") from error
        if path.stat().st_size > max_bytes:
            raise BadInput(
                f"{name}: it is larger than {max_bytes // 1_000_000} MB.", "input_too_large"
            )

    def _check(self) -> None:
        """Raise ``Stopped`` if the job was stopped."""
        _ = self._context.seed

    async def _fetch_file(self, name: str, file_id: str, path: Path) -> None:
        async with self._stores.sessions() as session:
            row = await files.get_owned(session, file_id, self._job.user_id)
        if row is None:
            raise BadInput(f"{name}: the file {file_id} is gone.", "input_missing")
        try:
            await self._retry(lambda: self._stores.objects.get_file(row.object_key, path))
        except ObjectMissing as error:
            raise BadInput(f"{name}: the file {file_id} is gone.", "input_missing") from error
        self._contents[name] = file_content(row.sha256)

    async def _fetch_persona(self, name: str, persona_id: str) -> None:
        async with self._stores.sessions() as session:
            owned = await personas.find_owned(session, [persona_id], self._job.user_id)
        if persona_id not in owned:
            raise BadInput(f"{name}: the persona {persona_id} is gone.", "persona_missing")
        saved, folder = owned[persona_id], self._folder / persona_id
        folder.mkdir()
        images = []
        for number, file in enumerate(saved.files):
            self._check()
            path = folder / f"{number}"
            get = partial(self._stores.objects.get_file, file.object_key, path)
            try:
                await self._retry(get)
            except ObjectMissing as error:
                raise BadInput(
                    f"{name}: a picture of the persona {persona_id} is gone.", "persona_missing"
                ) from error
            images.append(path)
        persona = saved.persona
        self._personas[persona_id] = Persona(
            persona.id, persona.name, persona.description, tuple(images)
        )
        self._of_personas[persona_id] = persona_content(
            persona.id, persona.name, persona.description, [file.sha256 for file in saved.files]
        )

    async def _fetch_job(self, name: str, job_id: str) -> EarlierJob:
        async with self._stores.sessions() as session:
            job = await queries.get_owned(session, job_id, self._job.user_id)
        if job is None or job.status != "succeeded" or not job.outputs:
            raise BadInput(f"{name}: the job {job_id} has no outputs.", "job_missing")
        folder = self._folder / job_id
        folder.mkdir()
        paths: dict[str, Path] = {}
        for output in job.outputs:
            self._check()
            path = folder / output["name"]
            get = partial(self._stores.objects.get_file, output["object_key"], path)
            try:
                await self._retry(get)
            except ObjectMissing as error:
                raise BadInput(
                    f"{name}: {path.name} of {job_id} is gone.", "job_missing"
                ) from error
            paths[output["name"]] = path
        return EarlierJob(job.id, job.generator, job.input, job.seed, paths)

    async def _fetch_kept_files(self) -> dict[str, Path]:
        """Download the files that earlier attempts kept; a missing one is generated again."""
        if self._job.attempt <= 1:
            return {}
        folder = self._folder / KEPT
        folder.mkdir()
        paths: dict[str, Path] = {}
        prefix = temp_key(self._job.id, f"{KEPT}-")
        try:
            for stored in await self._stores.objects.list(prefix):
                self._check()
                path = folder / stored.key.removeprefix(prefix)
                await self._stores.objects.get_file(stored.key, path)
                paths[path.name] = path
        except (StoreUnavailable, ObjectMissing) as error:
            log.warning("kept_not_fetched", error=type(error).__name__)
        return paths

    async def _retry(self, action: Callable[[], Awaitable[None]]) -> None:
        await retry_while_unavailable(
            "fetch", action, TIMEOUT_S, stop_if=lambda: self._context.stop_reason is not None
        )


async def save_kept_files(stores: Stores, job: Job, context: RunContext) -> None:
    """Store the files that the generator asked to keep; a failure is only logged.

    Returns once all of them are stored, including those that another call began to store.
    """
    async with context.saving:
        for path in context.take_files_to_keep():
            key = temp_key(job.id, f"{KEPT}-{path.name}")
            try:
                await stores.objects.put_file(key, path, "application/octet-stream")
            except (*STORE_DOWN, OSError) as error:
                log.warning("not_kept", file=path.name, error=type(error).__name__)
