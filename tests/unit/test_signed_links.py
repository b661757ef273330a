"""Our signed links are those of the MinIO client, byte by byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from minio import Minio

from db.signed_links import LinkSigner

NOW = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
KEYS = ("outputs/usr_1/job_1/1-image.png", "inputs/usr_1/job_1/rød katt & co +1.png", "temp/a~b/c")
HEADERS = (
    {},
    {"response-content-type": "image/png"},
    {
        "response-content-type": "text/plain; charset=utf-8",
        "response-content-disposition": "attachment; filename*=UTF-8''r%C3%B8d%20katt.png",
    },
)
STORES = {
    "path style": ("127.0.0.1:9000", False, "http://127.0.0.1:9000/atelier/"),
    "a provider's virtual hosts": (
        "s3.eu-north-1.amazonaws.com",
        True,
        "https://atelier.s3.eu-north-1.amazonaws.com/",
    ),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("headers", HEADERS)
def test_a_link_is_that_of_minio(store: str, key: str, headers: dict[str, str]) -> None:
    endpoint, secure, base_url = STORES[store]
    access, secret, region = "AKIA/EXAMPLE+", "a secret / of +", "eu-north-1"
    minio = Minio(endpoint, access_key=access, secret_key=secret, secure=secure, region=region)
    ours = LinkSigner(base_url, region, access, secret)
    for moment in (NOW, NOW + timedelta(days=1)):  # the key of the day is another one
        theirs = minio.presigned_get_object(
            "atelier",
            key,
            expires=timedelta(hours=1),
            response_headers=dict(headers),
            request_date=moment,
        )
        assert ours.sign(key, 3600, moment, headers) == theirs


def test_a_link_is_signed_once_for_a_moment() -> None:
    ours = LinkSigner("http://127.0.0.1/atelier/", "here", "key", "secret")
    asked = [
        ("temp/a", 60, NOW, {}),
        ("temp/b", 60, NOW, {}),
        ("temp/a", 61, NOW, {}),
        ("temp/a", 60, NOW + timedelta(seconds=1), {}),
        ("temp/a", 60, NOW, {"response-content-type": "image/png"}),
    ]
    links = [ours.sign(*one) for one in asked]
    assert len(set(links)) == len(asked), "all that is asked for goes into a link"
    with patch("hmac.digest", side_effect=AssertionError("signed again")):
        assert [ours.sign(*one) for one in asked] == links


@pytest.mark.parametrize("seconds", [0, 604_801])
def test_no_link_works_longer_than_s3_allows(seconds: int) -> None:
    with pytest.raises(ValueError, match="seven days"):
        LinkSigner("http://127.0.0.1/atelier/", "here", "key", "secret").sign(
            "temp/a/b", seconds, NOW, {}
        )
