"""Attacks that need few requests: each returns what it saw and whether the service held."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil

from tests.attack.target import PASSWORD, Target

EXTREME_DAYS = ("0001-01-01", "9999-12-31", "0001-01-02", "9999-12-30", "-1", "10000-01-01")

# What refusing a large body may cost, in milliseconds or by what refusing a small one costs.
MOST_MS_OF_THE_LOOP = 20.0
MOST_TIMES_A_SMALL_ONE = 3.0
MOST_MB = 10.0
# Passwords of one address that are looked at within a minute.
MOST_GUESSES = 12


@dataclass(frozen=True)
class Verdict:
    """A row of the table: the attack, how often it was tried, what was seen."""

    attack: str
    tried: int
    seen: str
    held: bool


async def large_bodies_of_strangers(target: Target) -> Verdict:
    """What 60 MB with a key of nobody's cost the ingress, in time of its process and in memory."""
    ingress = target.ingress()
    if ingress is None:
        return Verdict("60 MB with nobody's key", 0, "the ingress runs elsewhere", True)
    body = b"[" + b"[]," * 20_000_000 + b"[]]"
    headers = {"Content-Type": "application/json", "X-API-Key": "atl_nobody"}
    tries = 20

    async def refused(content: bytes) -> None:
        async with target.client() as client:
            for _ in range(tries):
                with suppress(httpx.HTTPError):  # it hangs up while the rest is on its way
                    await client.post("/v1/jobs", content=content, headers=headers)

    memory, began = ingress.memory_info().rss, time.monotonic()
    large = await _cpu_ms(ingress, refused(body))
    took, grown = time.monotonic() - began, (ingress.memory_info().rss - memory) / 1e6
    small = await _cpu_ms(ingress, refused(b"[]"))
    background = await _cpu_ms(ingress, asyncio.sleep(took))
    each_ms = (large - background) / tries
    most_ms = max(MOST_MS_OF_THE_LOOP, MOST_TIMES_A_SMALL_ONE * small / tries)
    return Verdict(
        "60 MB with nobody's key", tries,
        f"{each_ms:.1f} of {most_ms:.0f} ms of the ingress each, {grown:.1f} MB",
        each_ms < most_ms and grown < MOST_MB,
    )  # fmt: skip


async def _cpu_ms(process: psutil.Process, meanwhile: Awaitable[None]) -> float:
    """What the process computes meanwhile, in milliseconds."""
    before = process.cpu_times()
    await meanwhile
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1000


async def extreme_dates(target: Target) -> Verdict:
    statuses: Counter[int] = Counter()
    async with target.client(target.api_key) as client:
        for name in ("from", "to"):
            for day in EXTREME_DAYS:
                statuses[(await client.get("/v1/usage", params={name: day})).status_code] += 1
    return Verdict(
        "dates at the ends of the calendar", statuses.total(), _words(statuses),
        not any(status >= 500 for status in statuses),
    )  # fmt: skip


async def odd_parameters(target: Target) -> Verdict:
    queries = ("?stauts=queued", "?limit=1&limit=2", "?limit=1&x=1", "?wait[]=1")
    statuses: Counter[int] = Counter()
    async with target.client(target.api_key) as client:
        for path in ("/v1/jobs", "/v1/files", "/v1/credits/transactions"):
            for query in queries:
                statuses[(await client.get(path + query)).status_code] += 1
    return Verdict(
        "unknown and repeated query parameters", statuses.total(), _words(statuses),
        set(statuses) == {422},
    )  # fmt: skip


async def known_addresses(target: Target) -> Verdict:
    """Whether registering tells who has an account: the answers differ in nothing."""
    known = f"known-{secrets.token_hex(4)}@example.com"
    fresh = f"fresh-{secrets.token_hex(4)}@example.com"
    async with target.stranger() as client:
        await _register(client, known)
        first, second = await _register(client, known), await _register(client, fresh)
    same = first.status_code == second.status_code and first.text.replace(
        known, ""
    ) == second.text.replace(fresh, "")
    return Verdict(
        "registering a known and a new address", 3,
        f"{first.status_code} and {second.status_code}, bodies {'alike' if same else 'differ'}",
        same and first.status_code < 300,
    )  # fmt: skip


async def deep_json(target: Target) -> Verdict:
    bodies = (b"[" * 100_000, b'{"a":' * 5000, b"[" + b"[]," * 200_000 + b"[]]", b"1" * 100_000)
    statuses: Counter[int] = Counter()
    headers = {"Content-Type": "application/json"}
    async with target.client(target.api_key) as client:
        for body in bodies:
            answer = await client.post("/v1/jobs", content=body, headers=headers)
            statuses[answer.status_code] += 1
    return Verdict(
        "JSON nested deep, or of many values", len(bodies), _words(statuses),
        set(statuses) <= {413, 422},
    )  # fmt: skip


async def forged_address(target: Target) -> Verdict:
    """Whether X-Forwarded-For gives one client many addresses: guesses stay bounded, to so many in
    each minute that a slow service takes for all."""
    statuses: Counter[int] = Counter()
    began = time.monotonic()
    async with target.stranger() as client:
        for number in range(40):
            form = {
                "username": f"p{number}-{secrets.token_hex(3)}@example.com",
                "password": "x" * 9,
            }
            headers = {"X-Forwarded-For": f"198.51.100.{number}"}
            answer = await client.post("/v1/auth/token", data=form, headers=headers)
            statuses[answer.status_code] += 1
    # A bucket fills all the time: a slow machine is let guess more meanwhile.
    most = MOST_GUESSES * (1 + (time.monotonic() - began) / 60)
    held = statuses[401] <= most and set(statuses) <= {401, 429, 503}
    return Verdict("guesses under forged X-Forwarded-For", 40, _words(statuses), held)


async def locked_out_owner(target: Target) -> Verdict:
    """Whether a stranger's guesses keep the owner out of the account."""
    email = f"owner-{secrets.token_hex(4)}@example.com"
    right = {"username": email, "password": PASSWORD}
    async with target.stranger() as owner, target.stranger() as stranger:
        if (await _register(owner, email)).status_code >= 300:
            return Verdict("locking an owner out", 0, "no account could be made", False)
        first = await owner.post("/v1/auth/token", data=right)
        device = {"X-Device-Token": first.json().get("device_token", "")}
        statuses: Counter[int] = Counter()
        for _ in range(40):
            guess = {"username": email, "password": "wrong-guess"}
            answer = await stranger.post("/v1/auth/token", data=guess)
            statuses[answer.status_code] += 1
        again = await owner.post("/v1/auth/token", data=right, headers=device)
    return Verdict(
        "locking an owner out", 40, f"{_words(statuses)}; the owner: {again.status_code}",
        again.status_code == 200 and statuses[429] > 0,
    )  # fmt: skip


CHECKS: tuple[Callable[[Target], Awaitable[Verdict]], ...] = (
    large_bodies_of_strangers,
    extreme_dates,
    odd_parameters,
    deep_json,
    known_addresses,
    locked_out_owner,
    forged_address,
)


async def _register(client: httpx.AsyncClient, email: str) -> httpx.Response:
    body = {"email": email, "password": PASSWORD}
    return await client.post("/v1/auth/register", json=body)


def _words(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
