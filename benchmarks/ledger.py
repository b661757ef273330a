"""What does money cost? ``python -m benchmarks.ledger [--entries 1000000] [--json FILE]``

Submits jobs with an API key that has a spending cap, and ends them at full price, over real servers
of its own: as the service does it, and with every call into ``billing.ledger`` and
``billing.key_budgets`` taken out, in turn. With a ledger of a few entries and with one of
``--entries``. Every figure is the median of ``--rounds`` calls one after the other, in
milliseconds; ``money`` is what holding adds to a submit and settling to an ending, together. Then
it asks how long ``atelier-admin reconcile`` looks through all that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select, text, update

from atelier_admin.commands.reconcile import differences
from benchmarks.stores import GENERATOR, INPUT, PLENTY, new_users, opened, own_stores
from billing import key_budgets, ledger
from billing.settings import StripeSettings
from billing.settlement import Settlement, settle
from db.ids import new_id
from db.settings import StoreSettings
from db.tables import ApiKey, Entry, Job
from serve_app.auth.identity import Identity
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import submit
from serve_app.resources import Clients

ENTRIES_A_JOB = 6  # held, captured and released, two each
PAGE = 10_000

# A job of two credits that was charged one, as the service books it; the jobs are in turn of the
# users. The last statement moves the guarded columns by what the entries came to.
HISTORY = (
    r"""INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,
                          credits_held, credits_charged, price_version, finished_at)
       SELECT 'job_past' || n, (CAST(:owners AS text[]))[1 + n % :users], :generator, 'succeeded',
              '{}', n, 2, 0, 1, 'bench', now()
       FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n""",
    r"""INSERT INTO transactions (id, user_id, kind, amount, natural_key, job_id, reason)
       SELECT 'txn_' || kind || n, (CAST(:owners AS text[]))[1 + n % :users], kind, amount,
              kind || '\:job_past' || n, 'job_past' || n, :generator
       FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n,
            (VALUES ('hold', 2), ('capture', 1), ('release', 1)) AS moved (kind, amount)""",
    r"""INSERT INTO entries (transaction_id, account, amount)
       SELECT 'txn_' || kind || n,
              replace(account, '<id>', (CAST(:owners AS text[]))[1 + n % :users]), amount
       FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n,
            (VALUES ('hold', 'user\:<id>\:available', -2), ('hold', 'user\:<id>\:held', 2),
                    ('capture', 'user\:<id>\:held', -1), ('capture', 'house\:revenue', 1),
                    ('release', 'user\:<id>\:held', -1), ('release', 'user\:<id>\:available', 1))
                AS booked (kind, account, amount)""",
    r"""UPDATE users SET balance = balance - spent.jobs
       FROM (SELECT (CAST(:owners AS text[]))[1 + n % :users] AS id, count(*) AS jobs
             FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n GROUP BY 1
            ) spent WHERE spent.id = users.id""",
)


@dataclass(frozen=True)
class Costs:
    """Milliseconds, with money and without."""

    submit: float
    bare_submit: float
    end: float
    bare_end: float

    @property
    def money(self) -> float:
        return self.submit - self.bare_submit + self.end - self.bare_end


@dataclass(frozen=True)
class Results:
    """``ratio`` is what a submit and its ending take with ``entries`` over what with ``few``."""

    few: int
    entries: int
    few_ms: Costs
    entries_ms: Costs
    few_money_ms: float
    entries_money_ms: float
    ratio: float
    reconcile_s: float
    differences: int


async def _nothing(*_: object) -> None: ...


async def _rich(*_: object) -> ledger.AccountBalance:
    return ledger.AccountBalance(10**9, 0, 0, has_lots=False)


@contextmanager
def without_money() -> Iterator[None]:
    calls = [(ledger, name) for name in ("hold", "capture", "release")]
    with ExitStack() as stack:
        stack.enter_context(patch.object(ledger, "lock_user", _rich))
        for module, name in [*calls, (key_budgets, "spend"), (key_budgets, "refund_cap")]:
            stack.enter_context(patch.object(module, name, _nothing))
        yield


async def lengthen(clients: Clients, owners: list[str], entries: int, console: Console) -> None:
    """The history of jobs long ended, until the ledger has ``entries``."""
    jobs = max(0, entries - await ledger_length(clients)) // ENTRIES_A_JOB
    with console.status(f"a ledger of {entries:,} entries"):
        for first in range(0, jobs, PAGE):
            values = {
                "owners": owners,
                "users": len(owners),
                "generator": GENERATOR,
                "first": first,
                "last": min(first + PAGE, jobs) - 1,
            }
            async with clients.sessions.begin() as session:
                for statement in HISTORY:
                    await session.execute(text(statement), values)
    async with clients.sessions.begin() as session:
        await session.execute(text("ANALYZE jobs, transactions, entries, users"))


async def ledger_length(clients: Clients) -> int:
    async with clients.sessions() as session:
        return await session.scalar(select(func.count()).select_from(Entry)) or 0


async def key_of(clients: Clients, owner: str) -> Identity:
    key = ApiKey(
        id=new_id("key"),
        user_id=owner,
        name="bench",
        key_hash=new_id("hash"),
        hint="none",
        scopes=["jobs:write"],
        monthly_cap=PLENTY,
    )
    async with clients.sessions.begin() as session:
        session.add(key)
    return Identity(owner, "user", "free", frozenset({"jobs:write"}), api_key_id=key.id)


async def timed(call: Callable[[], Awaitable[Job]]) -> tuple[float, Job]:
    began = time.perf_counter()
    job = await call()
    return 1000 * (time.perf_counter() - began), job


async def measure(clients: Clients, identity: Identity, rounds: int) -> Costs:
    body = SubmitBody(generator=GENERATOR, input=INPUT)

    async def begin() -> Job:
        return (await submit(clients, identity, body, None, "bench")).job

    async def end(job: Job) -> Job:
        async with clients.sessions.begin() as session:
            ended = await settle(session, job, Settlement("canceled", charged_fraction=1.0))
        assert ended is not None
        return ended

    async def once() -> tuple[float, float, str]:
        submit_ms, job = await timed(begin)
        end_ms, _ = await timed(lambda: end(job))
        return submit_ms, end_ms, job.id

    for _ in range(rounds // 4 + 1):  # connections are opened, statements prepared
        await once()
    paid, bare = [], []
    for _ in range(rounds):
        paid.append(await once())
        with without_money():
            bare.append(await once())
    async with clients.sessions.begin() as session:  # the books have nothing of these
        await session.execute(
            update(Job)
            .where(Job.id.in_([job_id for *_, job_id in bare]))
            .values(credits_quoted=0, credits_charged=0)
        )
    return Costs(*(median(row[at] for row in rows) for at in (0, 1) for rows in (paid, bare)))


async def run(stores: StoreSettings, entries: int, rounds: int, console: Console) -> Results:
    async with opened(stores) as clients:
        owners = await new_users(clients)
        identity = await key_of(clients, owners[0])
        few = await ledger_length(clients)
        shallow = await measure(clients, identity, rounds)
        await lengthen(clients, owners, entries, console)
        many = await ledger_length(clients)
        deep = await measure(clients, identity, rounds)
        began = time.perf_counter()
        found = await differences(clients.sessions, StripeSettings(STRIPE_API_KEY=None), days=1)
        took = time.perf_counter() - began
    ratio = (deep.submit + deep.end) / (shallow.submit + shallow.end)
    return Results(few, many, shallow, deep, shallow.money, deep.money, ratio, took, len(found))


def show(results: Results, console: Console) -> None:
    table = Table("milliseconds")
    columns = ((results.few, results.few_ms), (results.entries, results.entries_ms))
    for entries, _ in columns:
        table.add_column(f"{entries:,} entries", justify="right")
    for title, name in (
        ("submit", "submit"),
        ("submit without money", "bare_submit"),
        ("ending", "end"),
        ("ending without money", "bare_end"),
        ("money", "money"),
    ):
        table.add_row(title, *(f"{getattr(costs, name):.2f}" for _, costs in columns))
    console.print(table)
    console.print(
        f"with {results.entries:,} entries a submit and its ending take {results.ratio:.2f} times"
        f" as long; reconcile: {results.reconcile_s:.1f} s, {results.differences} differences"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", type=Path, help="also write the results there")
    options = parser.parse_args()
    console = Console()
    with own_stores() as stores:
        results = asyncio.run(run(stores, options.entries, options.rounds, console))
    show(results, console)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
