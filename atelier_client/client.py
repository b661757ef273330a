"""The two clients. They have the same methods: ``Client`` blocks, ``AsyncClient`` is awaited."""

from __future__ import annotations

import os
from typing import Self

import httpx

from atelier_client.accounts import Accounts, Me, get_limits
from atelier_client.api_keys import ApiKeys
from atelier_client.batches import Batches
from atelier_client.credits import Credits
from atelier_client.drivers import TIMEOUT, AsyncDriver, Connection, SyncDriver
from atelier_client.events import JobEvent, follow_job
from atelier_client.files import Files
from atelier_client.generators import Generators
from atelier_client.jobs import (
    cancel_job,
    create_job,
    delete_job,
    get_job,
    get_job_metadata,
    list_jobs,
    retry_job,
    run_job,
    save_job,
    save_output,
    wait_for_job,
)
from atelier_client.personas import Personas
from atelier_client.resources import D, Operation, Resource, Stream
from atelier_client.retries import Retries
from atelier_client.uploads import Uploads
from atelier_client.webhooks import Webhooks


class Jobs(Resource[D]):
    """``client.jobs``."""

    create = Operation(create_job)
    get = Operation(get_job)
    list = Operation(list_jobs)
    wait = Operation(wait_for_job)
    cancel = Operation(cancel_job)
    retry = Operation(retry_job)
    delete = Operation(delete_job)
    events = Stream(follow_job, JobEvent)
    metadata = Operation(get_job_metadata)
    save = Operation(save_job)


class _Service(Resource[D]):
    """What both clients offer."""

    run = Operation(run_job)
    save = Operation(save_output)
    limits = Operation(get_limits)

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.me: Me[D] = Me(driver)
        self.jobs: Jobs[D] = Jobs(driver)
        self.batches: Batches[D] = Batches(driver)
        self.generators: Generators[D] = Generators(driver)
        self.files: Files[D] = Files(driver)
        self.uploads: Uploads[D] = Uploads(driver)
        self.personas: Personas[D] = Personas(driver)
        self.credits: Credits[D] = Credits(driver)
        self.webhooks: Webhooks[D] = Webhooks(driver)
        self.api_keys: ApiKeys[D] = ApiKeys(driver)
        self.accounts: Accounts[D] = Accounts(driver)


def _connection(url: str | None, api_key: str | None, retries: Retries | None) -> Connection:
    url = url or os.environ.get("ATELIER_URL")
    if not url:
        raise ValueError("give the address of the service, or set ATELIER_URL")
    if api_key is None:
        api_key = os.environ.get("ATELIER_API_KEY")
    return Connection(url, api_key, retries or Retries())


class Client(_Service[SyncDriver]):
    """A client whose methods block. Use it in a ``with``, or close it; threads may share it.

    ``url`` and ``api_key`` come from ``ATELIER_URL`` and ``ATELIER_API_KEY`` if left out;
    ``timeout`` is httpx's, in seconds; ``transport`` is what sends requests, for tests.

    Raises:
        ValueError: no address is known.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        timeout: httpx.Timeout | float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        connection = _connection(url, api_key, retries)
        super().__init__(SyncDriver(httpx.Client(timeout=timeout, transport=transport), connection))

    def close(self) -> None:
        """Close the connections."""
        self._driver.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Service[AsyncDriver]):
    """The same with methods that are awaited. Use it in an ``async with``, or close it."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        timeout: httpx.Timeout | float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        http = httpx.AsyncClient(timeout=timeout, transport=transport)
        super().__init__(AsyncDriver(http, _connection(url, api_key, retries)))

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
