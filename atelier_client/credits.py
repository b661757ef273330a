"""Credits: the balance, its movements, usage, and the alert that is sent when they run low."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from atelier_client.calls import Answer, Call, Flow, Page, ask, tell
from atelier_client.resources import D, Operation, Resource

Kind = Literal["grant", "purchase", "hold", "capture", "release", "refund", "claw_back", "expire"]


class Expiring(Answer):
    """Credits that are gone at ``expires_at``; jobs spend them before others."""

    credits: int
    expires_at: datetime


class Balance(Answer):
    """``balance`` can be spent; ``held`` is set aside for jobs that have not ended; ``debt`` is
    owed, and paid by what comes next. ``expiring`` is part of the balance."""

    balance: int
    held: int
    debt: int
    expiring: list[Expiring]


class Transaction(Answer):
    """One movement of credits. ``balance_change`` is what it did to the balance."""

    id: str
    object: Literal["transaction"] = "transaction"
    kind: str
    amount: int
    balance_change: int
    job_id: str | None
    reason: str
    created_at: datetime


class Alert(Answer):
    """Who is told when credits run low; both None: nobody."""

    threshold: int | None
    webhook_url: str | None


class Counts(Answer):
    """Jobs that ended, and the credits they cost."""

    jobs: int
    succeeded: int
    failed: int
    canceled: int
    credits: int


class UsageGroup(Counts):
    """The same of one group; None is what was not asked to be grouped by, or has no API key."""

    day: date | None
    generator: str | None
    api_key_id: str | None


class Usage(Answer):
    """Days are in UTC; the first and the last one count."""

    data: list[UsageGroup]
    total: Counts


def get_balance() -> Flow[Balance]:
    """What you have, in credits."""
    return (yield from ask(Call("GET", "/v1/credits"), Balance))


def list_transactions(
    *,
    kind: Kind | None = None,
    job_id: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Flow[Page[Transaction]]:
    """Every movement, newest first. Times have an offset."""
    params = {
        "kind": kind,
        "job_id": job_id,
        "created_after": created_after and created_after.isoformat(),
        "created_before": created_before and created_before.isoformat(),
        "limit": limit,
        "after": after,
    }
    call = Call("GET", "/v1/credits/transactions", params=params)
    return (yield from ask(call, Page[Transaction]))


def get_usage(
    *,
    first: date | None = None,
    last: date | None = None,
    by: Sequence[Literal["day", "generator", "key"]] = ("day",),
) -> Flow[Usage]:
    """Jobs that ended on those days and what they cost; by default of the last thirty days."""
    params = {
        "from": first and first.isoformat(),
        "to": last and last.isoformat(),
        "by": ",".join(by),
    }
    return (yield from ask(Call("GET", "/v1/usage", params=params), Usage))


def get_alert() -> Flow[Alert]:
    """Who is told when credits run low."""
    return (yield from ask(Call("GET", "/v1/credits/alert"), Alert))


def set_alert(threshold: int, webhook_url: str) -> Flow[Alert]:
    """Have a signed ``credits.low`` sent there, once each time the balance falls below."""
    body = {"threshold": threshold, "webhook_url": webhook_url}
    return (yield from ask(Call("PUT", "/v1/credits/alert", json=body), Alert))


def remove_alert() -> Flow[None]:
    """Tell nobody any more."""
    yield from tell(Call("DELETE", "/v1/credits/alert"))


class Credits(Resource[D]):
    """``client.credits``. Their scope is ``billing``."""

    get = Operation(get_balance)
    transactions = Operation(list_transactions)
    usage = Operation(get_usage)
    alert = Operation(get_alert)
    set_alert = Operation(set_alert)
    remove_alert = Operation(remove_alert)
