"""The settings of the HTTP API: those of each package, composed once when the ingress starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from billing.plans import PLANS
from billing.settings import StripeSettings
from db.settings import StoreSettings
from deployments.settings import MailSettings, SharedSettings
from serve_app.http.rates import Overrides, check_overrides

_FROM_ENVIRONMENT = SettingsConfigDict(
    frozen=True,
    extra="ignore",
    case_sensitive=True,
    hide_input_in_errors=True,
    populate_by_name=True,
)


def _host(url: str) -> str:
    """Return the host of an origin; raises ValueError unless browsers make passkeys for it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")
    if not host or not is_plain or not is_safe:
        raise ValueError("must be https://host, or http://localhost, without a path")
    return host


class AuthSettings(BaseSettings):
    """Settings of authentication. ``JWT_SECRET`` has no default, which would be no secret."""

    model_config = _FROM_ENVIRONMENT

    jwt_secret: SecretStr = Field(validation_alias="JWT_SECRET")
    jwt_issuer: str = Field(default="atelier", validation_alias="JWT_ISSUER")
    jwt_audience: str = Field(default="atelier-api", validation_alias="JWT_AUDIENCE")
    # What seals the secrets of apps that show codes; without it JWT_SECRET does. It keeps them when
    # JWT_SECRET is changed.
    totp_key: SecretStr | None = Field(default=None, validation_alias="TOTP_KEY")
    # What sealed them before, or will from the next deployment on: it opens them, and seals none.
    totp_key_previous: SecretStr | None = Field(default=None, validation_alias="TOTP_KEY_PREVIOUS")
    # The page of the service, https://atelier.example.com: passkeys are for its host. Without it
    # there are none.
    public_url: str | None = Field(default=None, validation_alias="PUBLIC_URL")
    # Further origins, separated by commas, on that host or below it.
    passkey_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias="PASSKEY_ORIGINS"
    )
    access_token_seconds: int = Field(default=900, gt=0, validation_alias="ACCESS_TOKEN_SECONDS")
    refresh_token_seconds: int = Field(
        default=30 * 24 * 3600, gt=0, validation_alias="REFRESH_TOKEN_SECONDS"
    )
    # So long a process keeps whose a key or a log-in is, while it hears of changes; 0: never.
    identity_cache_seconds: float = Field(
        default=30, ge=0, le=3600, validation_alias="IDENTITY_CACHE_SECONDS"
    )
    welcome_credits: int = Field(default=100, ge=0, validation_alias="WELCOME_CREDITS")
    # Who may make an account: everybody; who has the address; nobody but the administrators.
    registration: Literal["open", "verified", "closed"] = Field(
        default="open", validation_alias="REGISTRATION"
    )
    # In a day (UTC), from one address of IPv4 or one /64 of IPv6.
    registrations_per_address: int = Field(
        default=20, gt=0, validation_alias="REGISTRATIONS_PER_ADDRESS"
    )
    # In a day (UTC), for all new accounts together; the others start without credits.
    welcome_credits_per_day: int = Field(
        default=10_000, ge=0, validation_alias="WELCOME_CREDITS_PER_DAY"
    )

    @field_validator("totp_key", "totp_key_previous", "public_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("passkey_origins", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @model_validator(mode="after")
    def _origins_of_the_host(self) -> Self:
        if self.public_url is not None:
            host = _host(self.public_url)
            for origin in self.passkey_origins:
                if not f".{_host(origin)}".endswith(f".{host}"):
                    raise ValueError("PASSKEY_ORIGINS must be on the host of PUBLIC_URL")
        elif self.passkey_origins:
            raise ValueError("PASSKEY_ORIGINS needs PUBLIC_URL")
        return self

    @field_validator("jwt_secret", "totp_key", "totp_key_previous")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < 32:
            raise ValueError("must be at least 32 bytes")
        return secret


class LimitSettings(SharedSettings):
    """Limits of bodies, requests, links and waiting jobs."""

    model_config = _FROM_ENVIRONMENT

    max_body_bytes: int = Field(default=1 << 20, gt=0, validation_alias="MAX_BODY_BYTES")
    # For calls whose JSON may carry pictures and sounds as data URIs: it is held in memory.
    max_inline_bytes: int = Field(default=24_000_000, gt=0, validation_alias="MAX_INLINE_BYTES")
    # For a file sent as a form: it goes to the disk.
    max_upload_bytes: int = Field(default=60_000_000, gt=0, validation_alias="MAX_UPLOAD_BYTES")
    rate_limit_per_minute: int = Field(default=600, gt=0, validation_alias="RATE_LIMIT_PER_MINUTE")
    # Single rates in place of those that follow from it, as JSON, by plan (or "address") and class:
    # {"pro": {"submit": {"per_minute": 100, "burst": 20}}, "address": {"login": {...}}}.
    rate_limits: Overrides = Field(default={}, validation_alias="RATE_LIMITS")
    # What one API key may send of what its user may: the rest is left to the others.
    rate_limit_key_percent: int = Field(
        default=80, gt=0, le=100, validation_alias="RATE_LIMIT_KEY_PERCENT"
    )
    # Bytes of files that a user may have kept, by plan, as JSON: {"free": 5000000000}; a plan that
    # is not named has no bound.
    storage_quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default={}, validation_alias="STORAGE_QUOTAS"
    )
    # Tell browsers to use https even where a request seems to come over http.
    https_only: bool = Field(default=False, validation_alias="HTTPS_ONLY")
    # How long a stranger who was refused for too many attempts waits for that answer.
    refusal_delay_s: float = Field(default=1.0, ge=0, le=10, validation_alias="REFUSAL_DELAY_S")
    # For one user, over all generators.
    max_waiting_jobs: int = Field(default=10_000, gt=0, validation_alias="MAX_WAITING_JOBS")
    # Event streams and waiting requests that one ingress process keeps open, of all users.
    max_streams: int = Field(default=2500, gt=0, validation_alias="MAX_STREAMS")
    # So long a result is given again for the same input and seed; 0: never.
    result_cache_hours: int = Field(
        default=0, ge=0, le=24 * 365, validation_alias="ATELIER_RESULT_CACHE_HOURS"
    )
    max_batch_lines: int = Field(default=10_000, gt=0, validation_alias="MAX_BATCH_LINES")
    # Further names of models for other services' clients, as JSON: {"sora-2": "video3d"}.
    model_aliases: dict[str, str] = Field(default={}, validation_alias="MODEL_ALIASES")
    # Networks, separated by commas, whose X-Forwarded-For is believed beside this machine's own.
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(), validation_alias="TRUSTED_PROXIES"
    )

    # Origins, separated by commas, whose pages may call the API in a browser; * is any.
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias="CORS_ORIGINS"
    )

    @field_validator("rate_limits")
    @classmethod
    def _known_rates(cls, overrides: Overrides) -> Overrides:
        return check_overrides(overrides)

    @field_validator("storage_quotas")
    @classmethod
    def _known_plans(cls, quotas: dict[str, int]) -> dict[str, int]:
        if unknown := quotas.keys() - PLANS.keys():
            raise ValueError(f"no plan {', '.join(sorted(unknown))}; there is {', '.join(PLANS)}")
        return quotas

    @field_validator("trusted_proxies", "cors_origins", mode="before")
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
        ValueError: two variables do not go together.
    """

    stores: StoreSettings = field(default_factory=StoreSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    stripe: StripeSettings = field(default_factory=StripeSettings)
    mail: MailSettings = field(default_factory=MailSettings)

    def __post_init__(self) -> None:
        if self.auth.registration == "verified" and not self.mail.enabled:
            raise ValueError("REGISTRATION=verified needs MAIL_URL and MAIL_FROM")
