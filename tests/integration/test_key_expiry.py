"""API keys that expire: from that moment on they are refused as revoked ones are."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, update

from db.session import Sessions
from db.tables import ApiKey
from serve_app.auth.identity import authenticate_secret, is_still_valid
from tests.support.http import Person, World, problem


async def expire(sessions: Sessions, key_id: str) -> None:
    async with sessions.begin() as session:
        await session.execute(
            update(ApiKey).where(ApiKey.id == key_id).values(expires_at=func.now())
        )


async def test_a_key_works_until_it_expires_and_is_listed_with_its_end(
    api: World, ada: Person
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    body = {"name": "laptop", "expires_at": end.isoformat()}
    made = (await ada.post("/v1/api-keys", json=body)).json()
    assert datetime.fromisoformat(made["expires_at"]) == end
    header = {"X-API-Key": made["key"]}
    assert (await api.http.get("/v1/me", headers=header)).status_code == 200

    await expire(api.sessions, made["id"])
    problem(await api.http.get("/v1/me", headers=header), 401, "invalid_token")
    (listed,) = (await ada.get("/v1/api-keys")).json()["data"]
    assert listed["id"] == made["id"] and listed["last_used_at"] is not None
    assert datetime.fromisoformat(listed["expires_at"]) < end
    assert (await ada.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    assert (await ada.get("/v1/api-keys")).json()["data"] == []


async def test_an_open_stream_asks_and_is_told_that_the_key_has_expired(
    api: World, ada: Person
) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = [
        (await ada.post("/v1/api-keys", json={"name": "a", **more})).json()
        for more in ({}, {"expires_at": soon})
    ]
    forever, ending = [await authenticate_secret(api.clients, key["key"]) for key in made]
    assert await is_still_valid(api.clients, forever)
    assert await is_still_valid(api.clients, ending)
    await expire(api.sessions, made[1]["id"])
    assert await is_still_valid(api.clients, forever)
    assert not await is_still_valid(api.clients, ending)


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
async def test_a_key_is_not_made_to_end_in_the_past(api: World, ada: Person, moment: str) -> None:
    answer = await ada.post("/v1/api-keys", json={"name": "a", "expires_at": moment})
    (error,) = problem(answer, 422, "bad_input")["errors"]
    assert (error["loc"], error["code"]) == (["expires_at"], "past")
    assert await api.count(ApiKey, ada.id) == 0
