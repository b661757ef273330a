"""The settings of the HTTP API: those of each package, composed once when the ingress starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from billing.settings import StripeSettings
from db.settings import StoreSettings
from deployments.settings import SharedSettings

_FROM_ENVIRONMENT = SettingsConfigDict(
    frozen=True,
    extra="ignore",
    case_sensitive=True,
    hide_input_in_errors=True,
    populate_by_name=True,
)


class AuthSettings(BaseSettings):
    """Settings of authentication. ``JWT_SECRET`` has no default, which would be no secret."""

    model_config = _FROM_ENVIRONMENT

    jwt_secret: SecretStr = Field(validation_alias="JWT_SECRET")
    jwt_issuer: str = Field(default="atelier", validation_alias="JWT_ISSUER")
    jwt_audience: str = Field(default="atelier-api", validation_alias="JWT_AUDIENCE")
    access_token_seconds: int = Field(default=900, gt=0, validation_alias="ACCESS_TOKEN_SECONDS")
    refresh_token_seconds: int = Field(
        default=30 * 24 * 3600, gt=0, validation_alias="REFRESH_TOKEN_SECONDS"
    )
    welcome_credits: int = Field(default=100, ge=0, validation_alias="WELCOME_CREDITS")

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value().encode()) < 32:
            raise ValueError("must be at least 32 bytes")
        return secret


class LimitSettings(SharedSettings):
    """Limits of bodies, requests, links and waiting jobs."""

    model_config = _FROM_ENVIRONMENT

    max_body_bytes: int = Field(default=1 << 20, gt=0, validation_alias="MAX_BODY_BYTES")
    # For calls that may carry pictures and sounds.
    max_upload_bytes: int = Field(default=60_000_000, gt=0, validation_alias="MAX_UPLOAD_BYTES")
    rate_limit_per_minute: int = Field(default=600, gt=0, validation_alias="RATE_LIMIT_PER_MINUTE")
    # For one user, over all generators.
    max_waiting_jobs: int = Field(default=10_000, gt=0, validation_alias="MAX_WAITING_JOBS")
    # Networks, separated by commas, whose X-Forwarded-For is believed beside this machine's own.
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(), validation_alias="TRUSTED_PROXIES"
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value


@dataclass(frozen=True)
class Settings:
    """All settings. Without arguments they are read from the environment.

    Raises:
        pydantic.ValidationError: a variable is missing or malformed; names it, not its value.
    """

    stores: StoreSettings = field(default_factory=StoreSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    stripe: StripeSettings = field(default_factory=StripeSettings)
