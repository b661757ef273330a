"""Attack a running service as a stranger would, and say what held.

    python -m tests.attack                     # the service of ./scripts/run (.atelier/dev.json)
    python -m tests.attack --url URL --api-key KEY --admin-key KEY

While each flood runs, a customer submits jobs and a load balancer asks for /healthz: 95 of 100
answers have to come within 100 ms. Prints a table of the attempts and the verdicts, and exits with
1 on a hole. It makes accounts (as many as the service lets it) and cancels the jobs it submitted.

The attackers' processes run beside the service: on a machine with few cores they take their share
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from tests.attack.checks import CHECKS, MOST_GUESSES, Verdict
from tests.attack.floods import ATTACKER, FLOODS, Flood, running
from tests.attack.target import PASSWORD, Customers, Felt, Target, p95, paused_queue

# Floods of bodies and connections, and what is wrong after each.
MOST_MS = 100.0
MOST_GROWTH_MB = 150.0
FREE_ACCOUNTS = 3
# What may come of a large body of somebody without an account.
REFUSALS = {"401", "429", "MB sent", "ConnectionResetError", "BrokenPipeError"}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".atelier"), help="of ./scripts/run")
    parser.add_argument("--url")
    parser.add_argument("--api-key", help="of a customer with credits")
    parser.add_argument("--admin-key", help="of an administrator; pauses the queue meanwhile")
    parser.add_argument("--seconds", type=float, default=20, help="of each flood")
    parser.add_argument("--source", default=ATTACKER, help="the address that floods come from")
    parser.add_argument("--only", nargs="*", choices=sorted(FLOODS), help="these floods alone")
    parser.add_argument("--allowed", type=int, default=20, help="REGISTRATIONS_PER_ADDRESS")
    parser.add_argument("--most-ms", type=float, default=MOST_MS, help="of healthz and submits")
    parser.add_argument("--json", type=Path, help="write the verdicts to this file as well")
    return parser.parse_args(argv)


def find_target(arguments: argparse.Namespace) -> Target:
    if arguments.url:
        return Target(arguments.url, arguments.api_key, arguments.admin_key)
    found = json.loads((arguments.data / "dev.json").read_text())
    return Target(found["base_url"], found["api_key"], found["admin_api_key"])


async def attack(target: Target, arguments: argparse.Namespace) -> list[Verdict]:
    verdicts = []
    customers = Customers(target)
    async with paused_queue(target):
        ingress = target.ingress()
        before = ingress.memory_info().rss if ingress else 0
        quiet = await _feel(customers, arguments.seconds / 3)
        verdicts.append(Verdict("(no attack)", 0, quiet.words(), not quiet.failed))
        for check in CHECKS:
            verdicts.append(await check(target))
        for name in arguments.only or FLOODS:
            flood = Flood(target.host, target.port, arguments.seconds, arguments.source)
            if name == "streams":
                flood = replace(flood, keys=await _free_accounts(target))
            async with running(name, flood) as counts:
                felt = await _feel(customers, arguments.seconds)
            verdicts.append(_judge(name, counts, felt, arguments))
            await customers.clear()
        after = ingress.memory_info().rss if ingress else 0
    if ingress is not None:
        grown = (after - before) / 1e6
        seen = f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after"
        verdicts.append(Verdict("memory of the ingress", 0, seen, grown < MOST_GROWTH_MB))
    return verdicts


async def _feel(customers: Customers, seconds: float) -> Felt:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    return await customers.feel(stop)


def _judge(name: str, counts: Counter[str], felt: Felt, arguments: argparse.Namespace) -> Verdict:
    in_time = max(p95(felt.healthz), p95(felt.submits)) <= arguments.most_ms
    held = in_time and not felt.failed
    if name == "registrations":
        held = held and counts["201"] <= arguments.allowed
    if name == "logins":
        held = held and counts["401"] <= MOST_GUESSES
    if name in ("json_lists", "multipart"):
        held = held and set(counts) <= {
            "401",
            "429",
            "MB sent",
            "ConnectionResetError",
            "BrokenPipeError",
        }
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    tried = sum(count for what, count in counts.items() if what != "MB sent")
    return Verdict(name.replace("_", " "), tried, f"{outcomes}; {felt.words()}", held)


async def _free_accounts(target: Target) -> tuple[str, ...]:
    """Keys of new accounts, each with a job that waits; of the customer if none can be made."""
    found = []
    async with target.stranger() as client:
        for number in range(FREE_ACCOUNTS):
            email = f"streams-{number}-{id(client):x}@example.com"
            await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
            form = {"username": email, "password": PASSWORD}
            login = await client.post("/v1/auth/token", data=form)
            if login.status_code != 200:
                continue
            headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
            made = await client.post("/v1/api-keys", json={"name": "attack"}, headers=headers)
            key = made.json()["key"]
            job = await _waiting_job(client, key)
            if job is not None:
                found.append(f"{key} {job}")
        if not found:
            found.append(f"{target.api_key} {await _waiting_job(client, target.api_key)}")
    return tuple(found)


async def _waiting_job(client: httpx.AsyncClient, key: str) -> str | None:
    body = {"generator": "image", "input": {"prompt": "a red circle"}}
    answer = await client.post("/v1/jobs", json=body, headers={"X-API-Key": key})
    return str(answer.json()["id"]) if answer.status_code == 202 else None


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    verdicts = asyncio.run(attack(find_target(arguments), arguments))
    table = Table("attack", "tried", "seen", "held")
    for verdict in verdicts:
        held = "yes" if verdict.held else "[red]NO"
        table.add_row(verdict.attack, str(verdict.tried), verdict.seen, held)
    Console(width=150).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(verdict) for verdict in verdicts], indent=1))
    return 0 if all(verdict.held for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
