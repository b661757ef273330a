"""Settings of Stripe. Without a key billing is disabled, and everything else works."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class StripeSettings(BaseSettings):
    """Settings of Stripe, from the environment.

    ``STRIPE_API_BASE`` replaces the address of Stripe's API, for a stand-in. ``webhook_secret`` may
    hold several secrets, separated by commas, while one is rolled.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    api_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_API_KEY")
    webhook_secret: SecretStr | None = Field(default=None, validation_alias="STRIPE_WEBHOOK_SECRET")
    api_base: str | None = Field(default=None, validation_alias="STRIPE_API_BASE")
    automatic_tax: bool = Field(default=False, validation_alias="STRIPE_AUTOMATIC_TAX")

    @property
    def billing_enabled(self) -> bool:
        return bool(self.api_key and self.api_key.get_secret_value())

    def webhook_secrets(self) -> list[str]:
        secrets = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
        return [secret.strip() for secret in secrets.split(",") if secret.strip()]
