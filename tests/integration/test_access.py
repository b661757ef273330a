"""Who may ask for what, for every call of the OpenAPI document: none is left out."""

import io
from typing import Any

import pytest
from PIL import Image

from db.tables import Job
from tests.support.http import Person, World, problem

NO_ONES = {
    "job_id": "job_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "file_id": "file_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "persona_id": "per_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "key_id": "key_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "letter_id": "dead_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "user_id": "usr_01M8JGYQM20SBSA0T7WYZNF4Z3",
    "generator": "image",
    "name": "image",
    "order": "pause",
}
PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v1/generators"),
    ("GET", "/v1/generators/{name}"),
    ("POST", "/v1/billing/stripe/webhook"),  # signed
}
OWNED = {"job_id", "file_id", "persona_id", "key_id"}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


def calls(api: World) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, item in api.api.openapi()["paths"].items()
        for method, operation in item.items()
    ]


async def test_every_call_but_these_needs_a_token_or_a_key(api: World) -> None:
    public = set()
    for method, path, operation in calls(api):
        if path.startswith("/v1/auth/") and path != "/v1/auth/logout":
            continue  # what makes an account, and gives or renews a token
        if "security" not in operation:
            public.add((method, path))
            continue
        answer = await api.http.request(method, path.format(**NO_ONES))
        problem(answer, 401, "unauthorized")
    assert public == PUBLIC


async def test_every_call_of_administrators_refuses_a_customer(api: World, ada: Person) -> None:
    asked = 0
    for method, path, _ in calls(api):
        if path.startswith("/v1/admin/"):
            answer = await api.http.request(
                method, path.format(**NO_ONES), headers=ada.headers, json={}
            )
            problem(answer, 403, "scope_missing")
            asked += 1
    assert asked > 8


async def test_what_belongs_to_somebody_is_not_there_for_anybody_else(
    api: World, ada: Person
) -> None:
    theirs = {**NO_ONES, **await _belongings(ada)}
    other = await api.guest()
    asked = set()
    for method, path, operation in calls(api):
        owned = OWNED & {
            one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"
        }
        if not owned:
            continue
        body = {"name": "mine"} if method == "PATCH" else None
        answer = await api.http.request(
            method, path.format(**theirs), headers=other.headers, json=body
        )
        problem(answer, 404, "not_found")
        asked |= owned
    assert asked == OWNED
    async with api.sessions() as session:
        job = await session.get_one(Job, theirs["job_id"])
    assert job.status == "queued"
    for path in ("jobs/{job_id}", "files/{file_id}", "personas/{persona_id}"):
        assert (await ada.get(f"/v1/{path.format(**theirs)}")).status_code == 200
    (key,) = (await ada.get("/v1/api-keys")).json()["data"]
    assert (key["id"], key["name"]) == (theirs["key_id"], "ours")


async def _belongings(person: Person) -> dict[str, str]:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    upload = {"file": ("a.png", picture.getvalue(), "image/png")}
    file_id = (await person.post("/v1/files", files=upload)).json()["id"]
    persona = {"name": "Mira", "file_ids": [file_id], "consent": True}
    made = {
        "job_id": await person.submit(),
        "persona_id": await person.post("/v1/personas", json=persona),
        "key_id": await person.post("/v1/api-keys", json={"name": "ours"}),
    }
    return {"file_id": file_id, **{name: answer.json()["id"] for name, answer in made.items()}}
