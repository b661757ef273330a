"""Everything that is kept of a user, as one ZIP file that is written while it is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from db.accounts import files
from db.errors import ObjectMissing
from db.tables import File
from serve_app.account import records
from serve_app.account.paths import archive_path
from serve_app.credits import statement
from serve_app.http.zip_response import ZipStream
from serve_app.resources import Clients

PAGE = 200

README = """What this service keeps of your account.

account.json         the account itself, its limits and its alert
api-keys.json        your API keys, without the keys themselves
second-factors.json  the app whose codes you log in with, and passkeys, without their secrets
audit-log.json       what was changed of your account, by whom and when
batches.jsonl        your batches, one a line
jobs.jsonl           your jobs, one a line: input, cost, outputs, and how each was made
personas.json        people you saved, and when you stated their consent in which words
transactions.csv     every movement of your credits; .jsonl says the same
payments.json        what you paid, what went back, and your subscriptions, as we hold them
webhooks.json        where you are told of jobs and credits; the signing secret is not in here
files.jsonl          your files, one a line, with their place in files/
files/               what you uploaded, the pictures of personas, what your jobs made
missing.json         files whose content was gone when its turn came

Not in here, and kept: that jobs you erased were there, with what they cost; and for some days what
was sent to your webhooks and the keys of requests that must not be repeated.
"""


async def export(clients: Clients, user_id: str) -> AsyncGenerator[bytes, None]:
    """Yield the ZIP file. No connection to Postgres is held while the client reads.

    A file that is erased meanwhile is named in ``missing.json``. If a store goes away, the answer
    breaks off: without its directory nobody takes it for whole.
    """
    archive, now = ZipStream(), datetime.now(UTC)
    for name, content in (
        ("README.txt", _once(README.encode())),
        ("account.json", _json(await records.account(clients, user_id))),
        ("api-keys.json", _json(await records.api_keys(clients, user_id))),
        ("second-factors.json", _json(await records.second_factors(clients, user_id))),
        ("audit-log.json", _json(await records.audit_entries(clients, user_id))),
        ("personas.json", _json(await records.personas_with_consent(clients, user_id))),
        ("payments.json", _json(await records.payments(clients, user_id))),
        ("webhooks.json", _json(await records.webhooks(clients, user_id))),
        ("batches.jsonl", _lines(records.batches_of(clients, user_id))),
        ("jobs.jsonl", _lines(records.jobs(clients, user_id))),
        ("transactions.jsonl", _lines(records.transactions(clients, user_id))),
        ("transactions.csv", _csv(clients, user_id)),
        ("files.jsonl", _lines(records.file_records(clients, user_id))),
    ):
        async for data in archive.add(name, content, now, compress=True):
            yield data
    missing: list[str] = []
    async for file in _files(clients, user_id):
        path = archive_path(file)
        try:
            async with clients.objects.reading(file.object_key) as pieces:
                # Pictures, sounds and films are compressed already.
                async for data in archive.add(path, pieces, file.created_at, compress=False):
                    yield data
        except ObjectMissing:
            missing.append(path)
    async for data in archive.add("missing.json", _json(missing), now, compress=True):
        yield data
    yield archive.end()


async def _files(clients: Clients, user_id: str) -> AsyncIterator[File]:
    after: str | None = None
    while True:
        async with clients.sessions() as session:
            page = await files.page(session, user_id, None, after, PAGE)
        for file in page:
            yield file
        if len(page) < PAGE:
            return
        after = page[-1].id


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _json(value: Any) -> AsyncIterator[bytes]:
    return _once(to_json(value, indent=2) + b"\n")


async def _lines(items: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for item in items:
        yield to_json(item) + b"\n"


async def _csv(clients: Clients, user_id: str) -> AsyncIterator[bytes]:
    selection = statement.StatementFilter(user_id)
    async for row in statement.as_csv(clients.read_sessions, selection):
        yield row.encode()
