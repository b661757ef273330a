"""The settings of replicas, maintenance and ingress, beside the addresses of the stores."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Where mails may go without encryption: they do not leave the machine.
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class SharedSettings(BaseSettings):
    """The settings that must be the same in every process.

    ``ATELIER_FETCH_PRIVATE`` allows inputs from, and webhooks to, addresses that are not public, as
    on an intranet. ``LINK_SECONDS`` is the lifetime of signed links, at most the seven days that S3
    allows. ``ATELIER_PROFILE`` names the profile of the machines that run the models; without it
    the GPU's memory selects one in each replica, ``tiny`` without a GPU. ``ATELIER_DATA_DIR`` is
    the folder of the stores' data, where they run on this machine: how full its disk is becomes a
    metric. ``ATELIER_WORK_DIR`` holds temporary files: the folders of running jobs, deleted
    when the job ends, uploads as they come in and offloaded weights; the system's for temporary
    files without it.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, populate_by_name=True
    )

    fetch_private: bool = Field(default=False, validation_alias="ATELIER_FETCH_PRIVATE")
    link_seconds: int = Field(default=3600, gt=0, le=7 * 86400, validation_alias="LINK_SECONDS")
    profile: str | None = Field(default=None, validation_alias="ATELIER_PROFILE")
    data_dir: Path | None = Field(default=None, validation_alias="ATELIER_DATA_DIR")
    work_dir: Path | None = Field(default=None, validation_alias="ATELIER_WORK_DIR")


class MailSettings(BaseSettings):
    """How mails are sent; without ``MAIL_URL`` none are.

    ``MAIL_URL`` is ``smtp://user:password@host:587``, which is upgraded by STARTTLS unless the host
    is this machine, or ``smtps://`` for TLS from the first byte. ``MAIL_LINK_URL`` is the page of
    your client that mails lead to, with ``#verify=TOKEN`` or ``#reset=TOKEN`` after it.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    mail_url: SecretStr | None = Field(default=None, validation_alias="MAIL_URL")
    mail_from: str | None = Field(default=None, validation_alias="MAIL_FROM")
    mail_link_url: str | None = Field(default=None, validation_alias="MAIL_LINK_URL")

    @property
    def enabled(self) -> bool:
        return self.mail_url is not None

    @field_validator("mail_url", "mail_from", "mail_link_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("mail_url")
    @classmethod
    def _smtp_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            if url.scheme not in ("smtp", "smtps") or not url.hostname:
                raise ValueError("must be smtp://user:password@host:587, or smtps://")
            _ = url.port  # raises ValueError for a port that is no number
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and ("@" not in value or not value.isprintable()):
            raise ValueError("must be an e-mail address, or a name and <an address>")
        return value

    @model_validator(mode="after")
    def _has_a_sender(self) -> Self:
        if self.mail_url is not None and self.mail_from is None:
            raise ValueError("MAIL_URL needs MAIL_FROM")
        return self
