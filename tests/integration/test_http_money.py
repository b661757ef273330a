"""Money over HTTP: what a balance allows, however many ask at once."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from billing import ledger
from db.tables import Job
from tests.support.http import World, patiently


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 0}


async def test_of_two_hundred_submits_at_once_a_balance_for_fifty_pays_fifty(api: World) -> None:
    ada = await api.guest()
    price = (
        await ada.post("/v1/generators/image/quote", json={"input": {"prompt": "a red circle"}})
    ).json()["credits"]
    async with api.sessions.begin() as session:
        await ledger.grant(session, ada.id, 50 * price, "for fifty", "for fifty")
    answers = await asyncio.gather(*(patiently(ada.submit) for _ in range(200)))
    assert Counter(answer.status_code for answer in answers) == {202: 50, 402: 150}
    assert await api.assert_adds_up(ada.id) == (0, 50 * price)
    assert await api.count(Job, ada.id) == 50
    refused = next(answer for answer in answers if answer.status_code == 402).json()
    assert (refused["code"], refused["required"], refused["balance"]) == (
        "not_enough_credits", price, 0,
    )  # fmt: skip
