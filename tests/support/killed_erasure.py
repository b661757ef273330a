"""A process of maintenance that is killed in the middle of an erasure."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from db.accounts import erasure
from db.settings import StoreSettings
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.erase_accounts import erase_accounts
from deployments.stores import Stores

# Where it dies: after the objects of some folders, or in the last transaction, before its commit.
AMONG_OBJECTS, BEFORE_COMMIT = "among objects", "before commit"


def erase_and_be_killed(environment: Mapping[str, str], where: str) -> None:
    """Begin the erasure in another process, which ends by SIGKILL half way."""
    process = multiprocessing.get_context("spawn").Process(
        target=_erase, args=(dict(environment), where)
    )
    process.start()
    process.join(240)
    assert process.exitcode == -signal.SIGKILL


def _erase(environment: dict[str, str], where: str) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        stores = Stores.open(StoreSettings(**{"MONGODB_URL": None, **environment}))
        if where == AMONG_OBJECTS:
            erase_objects = stores.objects.delete

            async def delete(keys: Any) -> None:
                await erase_objects(keys)
                die()

            stores.objects.delete = delete  # type: ignore[method-assign]
        else:

            async def finish(*_: Any) -> bool:
                die()
                return False

            erasure.finish = finish
        await erase_accounts(MaintenanceContext(stores, {}), timedelta(0))

    asyncio.run(run())
