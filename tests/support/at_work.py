"""Jobs made in this process by the real generators, without a queue and without Ray."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.tiny_models import tiny_inference
from db.tables import Job
from deployments.catalog import load_catalog
from deployments.contract import GeneratorSpec
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.running_generators import new_generator

POLL_INTERVAL_S = 0.05


@asynccontextmanager
async def at_work(stores: Stores, generators: Sequence[str], folder: Path) -> AsyncIterator[None]:
    """Run every queued job for as long as the block runs, several at a time."""
    with ThreadPoolExecutor(8) as threads:
        loaded = {
            name: _loaded(spec, threads, folder) for name, spec in load_catalog(generators).items()
        }
        working = asyncio.create_task(_work(stores, loaded))
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


def _loaded(spec: GeneratorSpec[Any], threads: ThreadPoolExecutor, folder: Path) -> LoadedGenerator:
    generator = new_generator(spec)
    return LoadedGenerator(
        spec, generator, threads, folder, inference=tiny_inference(), private_addresses=True
    )


async def _work(stores: Stores, loaded: dict[str, LoadedGenerator]) -> None:
    begun: dict[str, asyncio.Task[Any]] = {}
    try:
        while True:
            async with stores.sessions() as session:
                query = select(Job.id, Job.generator).where(Job.status == "queued")
                queued = (await session.execute(query)).all()
            for job_id, generator in queued:
                if job_id not in begun:
                    run = run_job(stores, loaded[generator], job_id, 1)
                    begun[job_id] = asyncio.create_task(run)
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        await asyncio.gather(*begun.values(), return_exceptions=True)
