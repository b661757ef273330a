"""The page that people see who open the service's address."""

import base64
import hashlib
import re
from typing import Any

import pytest

from tests.support.http import World


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image", "deployments.generators.video3d"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {}


async def test_it_names_the_generators_and_its_links_lead_somewhere(api: World) -> None:
    answer = await api.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for spec in api.clients.catalog.values():
        assert spec.title in answer.text and spec.description in answer.text
    links = set(re.findall(r'href="([^"]+)"', answer.text))
    assert {"docs", "openapi.json", "llms.txt"} <= links
    for link in links:
        assert (await api.http.get(f"/{link}")).status_code == 200, link
    assert f"curl {api.http.base_url}" in answer.text


async def test_its_policy_allows_its_own_style_and_no_script(api: World) -> None:
    answer = await api.http.get("/")
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy and "default-src 'none'" in policy
    assert "<script" not in answer.text
