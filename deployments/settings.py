"""What the replicas, the keeper and the ingress read, beside the addresses of the stores."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """What all of them must agree on.

    ``ATELIER_FETCH_PRIVATE`` lets inputs lie at, and webhooks go to, addresses that are not public,
    as on an intranet. ``LINK_SECONDS`` is how long signed links last, at most the seven days that
    S3 signatures may.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, populate_by_name=True
    )

    fetch_private: bool = Field(default=False, validation_alias="ATELIER_FETCH_PRIVATE")
    link_seconds: int = Field(default=3600, gt=0, le=7 * 86400, validation_alias="LINK_SECONDS")


class ReplicaSettings(SharedSettings):
    """``ATELIER_PROFILE`` names the machine's profile; ``ATELIER_WORK_DIR`` holds work folders.

    Without a profile it is the one made for the replica's GPU, ``tiny`` where there is none. The
    work folder is scratch space: each job has its own folder in it and loses it at its end.
    """

    profile: str | None = Field(default=None, validation_alias="ATELIER_PROFILE")
    work_dir: Path | None = Field(default=None, validation_alias="ATELIER_WORK_DIR")
