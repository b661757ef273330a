"""What a replica reads from its environment, beside the addresses of the stores."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReplicaSettings(BaseSettings):
    """``ATELIER_PROFILE`` names the machine's profile; ``ATELIER_WORK_DIR`` holds work folders.

    Without a profile it is the one made for the replica's GPU, ``tiny`` where there is none. The
    work folder is scratch space: each job has its own folder in it and loses it at its end.
    ``ATELIER_FETCH_PRIVATE`` lets inputs lie at addresses that are not public, as on an intranet.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, populate_by_name=True
    )

    profile: str | None = Field(default=None, validation_alias="ATELIER_PROFILE")
    work_dir: Path | None = Field(default=None, validation_alias="ATELIER_WORK_DIR")
    fetch_private: bool = Field(default=False, validation_alias="ATELIER_FETCH_PRIVATE")
