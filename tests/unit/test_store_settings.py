"""Where the stores are comes from the environment, checked, and secrets stay out of sight."""

import pytest
from pydantic import ValidationError

from db.redis.cluster import parse_cluster
from db.settings import StoreSettings

GOOD = {
    "DATABASE_URL": "postgresql://me:hush@db/atelier",
    "REDIS_URL": "redis://:hush@redis:6379/0",
    "S3_ENDPOINT": "http://s3:9000/",
    "S3_ACCESS_KEY": "hush",
    "S3_SECRET_KEY": "hush",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("S3_BUCKET", "S3_REGION", "S3_PUBLIC_ENDPOINT", "MONGODB_URL", "DATABASE_REPLICA_URL")
    for name in (*GOOD, *others):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_the_environment_is_read_and_defaults_are_filled_in() -> None:
    settings = StoreSettings()
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://me:hush@db/atelier"
    assert settings.s3_endpoint == "http://s3:9000"
    assert (settings.s3_bucket, settings.mongodb_url) == ("atelier", None)


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(StoreSettings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://me:hush@db/atelier"),
        ("DATABASE_REPLICA_URL", "mysql://me:hush@db/atelier"),
        ("REDIS_URL", "http://:hush@redis"),
        ("REDIS_URL", "redis+cluster://:hush@"),
        ("REDIS_URL", "redis+cluster://:hush@one:6379,:6379"),
        ("REDIS_URL", "redis+cluster://:hush@one:6379,two:port"),
        ("REDIS_URL", "redis+cluster://:hush@one:6379/1"),
        ("REDIS_URL", "redis+cluster://:hush@one:6379?db=3"),
        ("REDIS_URL", "redis+cluster://:hush?more@one:6379"),
        ("REDIS_URL", "redis+cluster://:hush#more@one:6379"),
        ("S3_ENDPOINT", "s3:9000"),
    ],
)
def test_a_malformed_address_is_refused_by_name_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as failure:
        StoreSettings()
    assert name in str(failure.value)
    assert "hush" not in str(failure.value)


def test_a_missing_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(ValidationError, match="REDIS_URL"):
        StoreSettings()


def test_an_empty_mongodb_or_replica_url_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URL", "")
    monkeypatch.setenv("DATABASE_REPLICA_URL", "")
    settings = StoreSettings()
    assert (settings.mongodb_url, settings.database_replica_url) == (None, None)


def test_a_replica_is_reached_by_our_driver_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_REPLICA_URL", "postgres://me:hush@replica/atelier")
    url = StoreSettings().database_replica_url
    assert url is not None
    assert url.get_secret_value() == "postgresql+psycopg://me:hush@replica/atelier"


def test_the_address_of_a_cluster_names_several_nodes() -> None:
    nodes, settings = parse_cluster(
        "rediss+cluster://me:hu%2Csh@one:7000,two,[::1]:7001/?timeout=5"
    )
    assert nodes == [("one", 7000), ("two", 6379), ("::1", 7001)]
    assert settings == {"username": "me", "password": "hu,sh", "timeout": 5.0}
