"""Lists of jobs are what their models write, whatever reads the rows."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from db.object_store import output_key
from db.session import Sessions
from serve_app.http.pagination import Page
from serve_app.jobs.schemas import JobView
from tests.support.http import Person, World
from tests.support.jobs import claim


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"LINK_SECONDS": 7 * 86400}  # links are the same for half a day


async def test_a_list_is_byte_for_byte_what_its_model_writes(api: World, ada: Person) -> None:
    made = []
    for number, metadata in enumerate(({"ü": 0.1, "n": 2**60}, {})):
        body = {"generator": "scribe", "input": {"text": f"\u2028 {number}"}, "metadata": metadata}
        job_id = (await ada.post("/v1/jobs", json=body)).json()["id"]
        await claim(api.sessions, job_id, 1)
        output = {
            "name": "a.mp4", "kind": "video", "content_type": "video/mp4", "bytes": 9,
            "duration_s": 3, "sha256": "0", "object_key": output_key(ada.id, job_id, 1, "a.mp4"),
        }  # fmt: skip
        await api.end(job_id, "succeeded", 1.0, [output])
        made.append((await ada.get(f"/v1/jobs/{job_id}")).json())
    listed = await ada.get("/v1/jobs")
    assert listed.json() == {"data": made[::-1], "has_more": False, "next": None}
    assert (
        listed.content
        == Page[JobView].model_validate_json(listed.content).model_dump_json().encode()
    )
    assert listed.json()["data"][1]["metadata"] == {"ü": 0.1, "n": 2**60}


@pytest.mark.parametrize(
    "value",
    ["{}", "[]", "null", '"\\u00fc\\u2028\\ud83d\\ude00"', "0.1", "1e308", "-0.5", str(2**70),
     '{"a": [1, 2.50, {"b": null}], "c": true, "": "x"}'],
)  # fmt: skip
async def test_json_is_read_as_python_reads_it(sessions: Sessions, value: str) -> None:
    async with sessions() as session:
        row = await session.execute(text(f"SELECT jsonb '{value}', CAST(jsonb '{value}' AS text)"))
    read, written = row.one()
    assert json.dumps(read) == json.dumps(json.loads(written))
