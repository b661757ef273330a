"""The addresses of the stores, read once when a process starts, never at import."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.redis.cluster import is_cluster, parse_cluster
from db.session import with_driver


class StoreSettings(BaseSettings):
    """The stores' addresses and credentials, from the environment variables named here.

    Raises:
        pydantic.ValidationError: one is missing or malformed; the message names the variable and
            never its value.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    # Lists are read from it while it is up to date.
    database_replica_url: SecretStr | None = Field(
        default=None, validation_alias="DATABASE_REPLICA_URL"
    )
    redis_url: SecretStr = Field(validation_alias="REDIS_URL")
    s3_endpoint: str = Field(validation_alias="S3_ENDPOINT")
    s3_access_key: SecretStr = Field(validation_alias="S3_ACCESS_KEY")
    s3_secret_key: SecretStr = Field(validation_alias="S3_SECRET_KEY")
    s3_bucket: str = Field(default="atelier", validation_alias="S3_BUCKET")
    s3_region: str = Field(default="us-east-1", validation_alias="S3_REGION")
    # The address in signed links, if clients reach the store under another one than the service.
    s3_public_endpoint: str | None = Field(default=None, validation_alias="S3_PUBLIC_ENDPOINT")
    # Without MongoDB, job metadata is stored in Postgres.
    mongodb_url: SecretStr | None = Field(default=None, validation_alias="MONGODB_URL")

    @field_validator("database_url", "database_replica_url")
    @classmethod
    def _with_our_driver(cls, value: SecretStr | None) -> SecretStr | None:
        """Accept the plain ``postgresql://`` address that providers give."""
        return SecretStr(with_driver(value.get_secret_value())) if value else None

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if is_cluster(url):
            parse_cluster(url)
        elif not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a redis://, rediss://, unix:// or redis+cluster:// address")
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _http_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be http(s)://host:port")
        return value.rstrip("/") if value else None

    @field_validator("mongodb_url", "database_replica_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None
