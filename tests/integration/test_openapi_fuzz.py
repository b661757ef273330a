"""Every answer of the live API is one that its OpenAPI document has: a short form of
``python -m tests.fuzz``."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from tests.fuzz.run import fuzz
from tests.fuzz.stage import api_over


@pytest.mark.parametrize("visitor", ["nobody", "customer", "administrator"])
async def test_no_answer_is_against_the_document(
    store_settings: StoreSettings,
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    tmp_path: Path,
    visitor: str,
) -> None:
    async with api_over(store_settings) as (url, visitors):
        (asking,) = [one for one in visitors if one.name == visitor]
        verdict = await fuzz(url, asking, per_call=1, seed=1, folder=tmp_path)
    assert verdict.is_clean, verdict.output
    assert verdict.cases >= verdict.operations > 50
