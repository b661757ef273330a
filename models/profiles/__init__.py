"""Profiles: which weights, precision and defaults a class of machine uses, as validated data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]


class UnknownProfile(ValueError):
    """There is no profile of that name."""


class Weights(BaseModel):
    """Where weights come from and under which terms. Exactly one of ``path`` and ``hub_id``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: Path | None = None  # relative to the repository
    hub_id: str | None = None
    revision: str | None = None
    licence: str
    commercial: bool

    @property
    def source(self) -> str:
        """What ``from_pretrained`` is given."""
        return str(_ROOT / self.path) if self.path is not None else str(self.hub_id)


class TextToImageProfile(BaseModel):
    """Text to image: the weights, and the defaults and bounds they work well with (pixels)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Weights
    dtype: Literal["float32", "float16", "bfloat16"]
    width: int = Field(multiple_of=8)
    height: int = Field(multiple_of=8)
    min_size: int = Field(multiple_of=8)
    max_size: int = Field(multiple_of=8)
    steps: int = Field(ge=1)
    guidance: float = Field(ge=0)


class Profile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    device: Literal["cpu", "cuda"]
    text_to_image: TextToImageProfile


def load_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UnknownProfile: no such file; the message lists those there are.
    """
    path = _FOLDER / f"{name}.yaml"
    known = sorted(file.stem for file in _FOLDER.glob("*.yaml"))
    if name not in known:
        raise UnknownProfile(f"there is no profile {name!r}; there are: {', '.join(known)}")
    return Profile.model_validate(yaml.safe_load(path.read_text()))
