"""Replicate's models: the generators, under names of the form ``owner/name``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from deployments.contract import GeneratorSpec
from serve_app.compat.aliases import named_generators
from serve_app.http.errors import NotFound
from serve_app.http.schemas import View
from serve_app.resources import Clients

OWNER = "atelier"
ALIASES: Mapping[str, str] = {
    "black-forest-labs/flux-1.1-pro": "image",
    "black-forest-labs/flux-dev": "image",
    "black-forest-labs/flux-pro": "image",
    "black-forest-labs/flux-schnell": "image",
    "stability-ai/sdxl": "image",
    "stability-ai/stable-diffusion-3.5-large": "image",
}
NO_DATE = datetime(1970, 1, 1, tzinfo=UTC)


class VersionView(View):
    """The only version of a model: its prices' version, and the schema of its input."""

    id: str
    created_at: datetime = NO_DATE
    cog_version: str = ""
    openapi_schema: dict[str, Any]


class ModelView(View):
    """A generator, as Replicate describes a model."""

    url: str
    owner: str
    name: str
    description: str
    visibility: Literal["public"] = "public"
    github_url: None = None
    paper_url: None = None
    license_url: None = None
    run_count: int = 0
    cover_image_url: None = None
    default_example: None = None
    latest_version: VersionView


def find_spec(clients: Clients, name: str) -> GeneratorSpec[Any]:
    """Return the generator that answers to ``owner/name``, with or without ``:version``, or to
    the version alone.

    Raises:
        NotFound: none does.
    """
    model, _, version = name.partition(":")
    names = named_generators(clients, ALIASES)
    generator = names.get(model) or names.get(model.removeprefix(f"{OWNER}/"))
    for spec in clients.catalog.values():
        if (not version and spec.price_version == name) or (
            spec.name == generator and version in ("", spec.price_version)
        ):
            return spec
    raise NotFound(f"There is no model {name[:100]} here.")


def model_view(spec: GeneratorSpec[Any], base_url: str) -> ModelView:
    """Describe a generator."""
    components = {"Input": spec.request.model_json_schema()}
    return ModelView(
        url=f"{base_url}docs",
        owner=OWNER,
        name=spec.name,
        description=spec.description,
        latest_version=VersionView(
            id=spec.price_version, openapi_schema={"components": {"schemas": components}}
        ),
    )
