"""Generators: what there is, what it takes, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from atelier_client.calls import Answer, Call, Flow, ask
from atelier_client.files import upload_paths
from atelier_client.prices import PriceLine
from atelier_client.resources import D, Operation, Resource


class Pricing(Answer):
    """Prices are in credits; a quote says what one request costs. ``version`` is kept on jobs."""

    unit: str = "credit"
    version: str


class Queue(Answer):
    """Jobs waiting, and jobs being made."""

    waiting: int
    active: int


class Generator(Answer):
    """A generator. ``queue``, ``replicas`` and ``eta_s`` are None when they cannot be read now."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of a job's input.")
    pricing: Pricing
    queue: Queue | None
    replicas: int | None
    eta_s: float | None = Field(description="Seconds until a job submitted now would be done.")


class Quote(Answer):
    """What a job with this input would hold, and at most cost."""

    credits: int
    breakdown: list[PriceLine]


class _Catalog(Answer):
    data: list[Generator]


def list_generators() -> Flow[list[Generator]]:
    """Every generator of this installation. Needs no key."""
    return (yield from ask(Call("GET", "/v1/generators"), _Catalog)).data


def get_generator(name: str) -> Flow[Generator]:
    """One generator. Needs no key."""
    return (yield from ask(Call("GET", f"/v1/generators/{name}"), Generator))


def quote(name: str, input: Mapping[str, Any]) -> Flow[Quote]:
    """What a job would cost, in credits. Checks the input as submitting does; holds nothing.

    Local files in the input (``pathlib.Path``) are uploaded first.
    """
    body = {"input": (yield from upload_paths(input))}
    return (yield from ask(Call("POST", f"/v1/generators/{name}/quote", json=body), Quote))


class Generators(Resource[D]):
    """``client.generators``."""

    list = Operation(list_generators)
    get = Operation(get_generator)
    quote = Operation(quote)
