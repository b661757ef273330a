"""Tools that look things up: generators, prices, credits."""

from __future__ import annotations

from serve_app.mcp.api_client import ApiContext, AtelierAPI
from serve_app.mcp.arguments import GeneratorName, JobInput
from serve_app.mcp.schemas import Balance, Generator, Generators, GeneratorSummary, Quote


async def list_generators(ctx: ApiContext) -> Generators:
    """List what this service can make: images, films, lessons, 3D turntables and more.

    Start here, then read get_generator for the one that fits. Free.
    """
    found = await AtelierAPI.of(ctx).get("/v1/generators")
    return Generators(generators=[GeneratorSummary.model_validate(one) for one in found["data"]])


async def get_generator(ctx: ApiContext, name: GeneratorName) -> Generator:
    """Read what a generator takes: the JSON Schema of its input, and an example. Free.

    The schema has the bounds, the default and the meaning of every field. Fields it does not have
    are refused.
    """
    return Generator.from_api(await AtelierAPI.of(ctx).get(f"/v1/generators/{name}"))


async def quote(ctx: ApiContext, generator: GeneratorName, input: JobInput) -> Quote:
    """Ask what a job would cost, in credits. Free, and nothing is created.

    The input is checked as create_job checks it, so a quote also tells whether an input is valid.
    """
    found = await AtelierAPI.of(ctx).post(f"/v1/generators/{generator}/quote", {"input": input})
    return Quote.model_validate(found)


async def get_balance(ctx: ApiContext) -> Balance:
    """Read how many credits the account has. The key needs the scope `billing`."""
    return Balance.model_validate(await AtelierAPI.of(ctx).get("/v1/credits"))
