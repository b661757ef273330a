"""Times, numbers and methods at their extremes: no request is answered with a 5xx."""

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job
from serve_app.http.middleware import MAX_LOGGED_PATH
from tests.support.http import Person, World, problem, world

DAYS = ["0001-01-01", "0001-01-29", "0001-12-31", "9999-01-01", "9999-12-31"]
MOMENTS = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00-23:59",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-23:59",
    "9999-12-31T23:59:59.999999+23:59",
]
NO_DATES = ["1741", "1e300", "9" * 30, "-1", "NaN", "2026-02-30", "2026-01-01x", "", "٠٠٠١-01-01"]


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.mark.parametrize("day", DAYS)
async def test_usage_answers_for_every_day_there_is(ada: Person, day: str) -> None:
    for query in (f"to={day}", f"from={day}&to={day}"):
        answer = await ada.get(f"/v1/usage?{query}&by=day,generator,key")
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"] == []
    problem(await ada.get("/v1/usage?from=0001-01-01&to=9999-12-31"), 422, "bad_input")


async def test_a_day_of_usage_ends_with_its_last_microsecond(api: World, ada: Person) -> None:
    job = await api.end((await ada.submit()).json()["id"], "failed")
    async with api.sessions.begin() as session:
        last = datetime(2026, 1, 31, 23, 59, 59, 999999, UTC)
        await session.execute(update(Job).where(Job.id == job.id).values(finished_at=last))
    counted = {}
    for day in ("2026-01-31", "2026-02-01"):
        answer = await ada.get(f"/v1/usage?from={day}&to={day}")
        counted[day] = answer.json()["total"]["failed"]
    assert counted == {"2026-01-31": 1, "2026-02-01": 0}


@pytest.mark.parametrize("day", [*NO_DATES, "2026-01-01T00:00:00", "10000-01-01"])
async def test_a_day_that_is_none_is_refused(ada: Person, day: str) -> None:
    for name in ("from", "to"):
        found = problem(await ada.get("/v1/usage", params={name: day}), 422, "bad_input")
        assert found["errors"][0]["loc"] == ["query", name]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_lists_and_files_take_every_moment_there_is(
    ada: Person, root: Person, moment: str
) -> None:
    paths = ["/v1/jobs", "/v1/credits/transactions", "/v1/credits/transactions.csv"]
    for name in ("created_after", "created_before"):
        for path in paths:
            answer = await ada.get(path, params={name: moment})
            assert answer.status_code == 200, answer.text
        answer = await root.get("/v1/admin/ledger.csv", params={name: moment})
        assert answer.status_code == 200
    everything = {"created_after": MOMENTS[1], "created_before": MOMENTS[4]}
    assert len((await ada.get(paths[1], params=everything)).json()["data"]) == 1


@pytest.mark.parametrize("moment", [*NO_DATES, "2026-01-01", "2026-01-01T00:00:00"])
async def test_a_moment_that_is_none_is_refused_before_a_file_begins(
    ada: Person, root: Person, moment: str
) -> None:
    for person, path in (
        (ada, "/v1/jobs"),
        (ada, "/v1/credits/transactions.csv"),
        (root, "/v1/admin/ledger.csv"),
    ):
        problem(await person.get(path, params={"created_after": moment}), 422, "bad_input")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_grant_expires_at_any_moment_to_come(
    ada: Person, root: Person, moment: str
) -> None:
    body = {"amount": 1, "reason": "a gift", "expires_at": moment}
    answer = await root.post(f"/v1/admin/users/{ada.id}/grants", json=body)
    if moment.startswith("0001"):
        assert problem(answer, 422, "bad_input")["errors"][0]["code"] == "past"
    else:
        assert answer.status_code == 201, answer.text
    credits = await ada.get("/v1/credits")
    assert credits.status_code == 200, credits.text
    assert len(credits.json()["expiring"]) == (not moment.startswith("0001"))


@pytest.mark.parametrize("amount", [0, -1, 10**30, 1.5, True, "1", None, 1e308])
async def test_a_grant_is_a_whole_number_in_bounds(
    ada: Person, root: Person, amount: object
) -> None:
    body = {"amount": amount, "reason": "a gift"}
    answer = await root.post(f"/v1/admin/users/{ada.id}/grants", json=body)
    assert problem(answer, 422, "bad_input")["errors"][0]["loc"] == ["amount"]


@pytest.mark.parametrize("value", [-1, 10**30, 1.5, False, "1", 1e308])
async def test_limits_and_caps_are_whole_numbers_in_bounds(
    ada: Person, root: Person, value: object
) -> None:
    key = {"name": "mine", "monthly_cap": value}
    problem(await ada.post("/v1/api-keys", json=key), 422, "bad_input")
    alert = {"threshold": value, "webhook_url": "https://example.com/"}
    problem(await ada.put("/v1/credits/alert", json=alert), 422, "bad_input")
    limits = {"max_running_jobs": value}
    problem(await root.patch(f"/v1/admin/users/{ada.id}", json=limits), 422, "bad_input")


@pytest.mark.parametrize(
    "name", ["%00", "%FF", "%ED%A0%80", "..%2F..", "%F0%9F%92%A9", "x" * 3000, "job_%0A", "'%20--"]
)
async def test_an_odd_id_is_not_found(ada: Person, root: Person, name: str) -> None:
    for person, path in (
        (ada, f"/v1/jobs/{name}"),
        (ada, f"/v1/files/{name}"),
        (ada, f"/v1/personas/{name}"),
        (ada, f"/v1/generators/{name}"),
        (root, f"/v1/admin/users/{name}"),
        (root, f"/v1/admin/dead-letters/{name}"),
    ):
        assert (await person.get(path)).status_code == 404
    query = f"/v1/credits/transactions?job_id={name}"
    problem(await ada.get(query), 422, "bad_input")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/v1/credits/alert", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/v1/jobs/job_01M8JGYQM20SBSA0T7WYZNF4Z3", "DELETE, GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_another_method_is_told_which_there_are(
    api: World, ada: Person, path: str, allowed: str
) -> None:
    for method in ("TRACE", "PROPFIND"):
        answer = await api.http.request(method, path, headers=ada.headers)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed


async def test_metrics_and_log_lines_hold_no_more_than_we_decide(
    store_settings: StoreSettings, sessions: Sessions, capfd: pytest.CaptureFixture[str]
) -> None:
    path = "/v1/" + "x" * 5000
    async with world(store_settings) as new:
        ada = await new.guest()
        for number in range(20):
            await new.http.request(f"METHOD{number}", path)
            await new.http.request(f"METHOD{number}", "/v1/jobs", headers=ada.headers)
        labels = _labels((await new.http.get("/metrics")).text)
    assert {label["method"] for label in labels} <= {"GET", "POST", "other"}
    known = {"none", "/v1/jobs", "/v1/batches", "/metrics"}  # submits are counted from the start
    assert {label["route"] for label in labels} <= known
    lines = [line for line in capfd.readouterr().err.splitlines() if "/v1/xxx" in line]
    assert lines
    assert all(len(line) < MAX_LOGGED_PATH + 300 for line in lines)


def _labels(text: str) -> list[dict[str, Any]]:
    return [
        sample.labels
        for family in text_string_to_metric_families(text)
        if family.name == "atelier_http_requests"
        for sample in family.samples
    ]
