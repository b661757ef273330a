"""The settings of replicas, maintenance and ingress, beside the addresses of the stores."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """The settings that must be the same in every process.

    ``ATELIER_FETCH_PRIVATE`` allows inputs from, and webhooks to, addresses that are not public, as
    on an intranet. ``LINK_SECONDS`` is the lifetime of signed links, at most the seven days that S3
    allows.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, populate_by_name=True
    )

    fetch_private: bool = Field(default=False, validation_alias="ATELIER_FETCH_PRIVATE")
    link_seconds: int = Field(default=3600, gt=0, le=7 * 86400, validation_alias="LINK_SECONDS")


class ReplicaSettings(SharedSettings):
    """``ATELIER_PROFILE`` names the machine's profile; ``ATELIER_WORK_DIR`` holds work folders.

    Without ``ATELIER_PROFILE`` the GPU's memory selects the profile, ``tiny`` without a GPU. Each
    job has a folder of its own in the work folder, which is deleted when the job ends.
    """

    profile: str | None = Field(default=None, validation_alias="ATELIER_PROFILE")
    work_dir: Path | None = Field(default=None, validation_alias="ATELIER_WORK_DIR")
