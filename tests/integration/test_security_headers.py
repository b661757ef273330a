"""What answers tell a browser not to do, and the pages of ``/docs`` under their own policy."""

import re
from pathlib import Path

import httpx
import pytest

from db.settings import StoreSettings
from serve_app.api import create_api
from tests.support.browser import find_chromium, rendered
from tests.support.http import Person, World, running, served, settings_for

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/v1/me"),
        ("GET", "/v1/nothing"), ("TRACE", "/v1/jobs"), ("POST", "/v1/jobs"),
        ("GET", "/v1/billing/thanks"), ("GET", "/v1/credits/transactions.csv"),
    ],
)  # fmt: skip
async def test_every_answer_says_what_a_browser_must_not_do(
    api: World, ada: Person, method: str, path: str
) -> None:
    for headers in ({}, ada.headers):
        answer = await api.http.request(method, path, headers=headers)
        assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
        policy = answer.headers["content-security-policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"
        features = answer.headers["permissions-policy"].split(", ")
        assert {"camera=()", "microphone=()", "geolocation=()", "payment=()"} <= set(features)
        assert all(feature.endswith("=()") for feature in features)
        assert "strict-transport-security" not in answer.headers


async def test_no_cache_keeps_what_a_token_or_a_key_was_sent_for(api: World, ada: Person) -> None:
    for headers in (ada.headers, {"X-API-Key": "atl_wrong"}):
        answer = await api.http.get("/v1/me", headers=headers)
        assert answer.headers["cache-control"] == "no-store"
    assert "cache-control" not in (await api.http.get("/v1/generators")).headers


async def test_https_is_asked_for_where_the_request_came_over_it_or_a_setting_says_so(
    api: World, store_settings: StoreSettings
) -> None:
    transport = httpx.ASGITransport(app=api.api)
    async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as client:
        answer = await client.get("/healthz")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    behind = create_api(
        ["deployments.generators.image"], settings_for(store_settings, HTTPS_ONLY=True)
    )
    async with running(behind) as client:
        assert "strict-transport-security" in (await client.get("/v1/nothing")).headers


async def test_the_page_of_docs_loads_nothing_from_elsewhere_and_has_no_inline_script(
    api: World,
) -> None:
    page = await api.http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 4
    for name in named:
        answer = await api.http.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.content
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.text, re.DOTALL)
    assert len(scripts) == 2
    assert all("src=" in attributes and not inside for attributes, inside in scripts)
    assert (
        (await api.http.get("/docs/swagger-ui.css")).headers["content-type"].startswith("text/css")
    )
    assert (await api.http.get("/docs/core.py")).status_code == 404
    assert (await api.http.get("/redoc")).status_code == 404


async def test_the_page_of_docs_works_in_a_browser_under_its_policy(
    store_settings: StoreSettings, tmp_path: Path
) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("needs a Chromium")
    async with served(store_settings) as world:
        assert world.door is not None
        page, log = await rendered(chromium, f"{world.door.url}/docs", tmp_path)
    assert "/v1/jobs/{job_id}" in page.replace("\u200b", "")
    assert "opblock-summary-method" in page
    assert "Content Security Policy" not in log
