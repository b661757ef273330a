"""Check the ledger: every rule is a query that finds the rows that break it.

The database enforces most rules; the checks find the effects of a restored backup, a manual repair
or a bug. They change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Reported for each check; further rows are only counted.
MAX_ROWS = 100


@dataclass(frozen=True)
class Difference:
    """A difference: the name of the check, the row, and both sides in words."""

    check: str
    row: str
    detail: str


@dataclass(frozen=True)
class Check:
    """A check; ``sql`` returns the id of each row that breaks ``rule``, and how in words."""

    name: str
    rule: str
    sql: str


def _column_equals_entries(column: str, account: str, sign: str = "") -> str:
    return f"""
        SELECT users.id, format('{column} is %s, its entries come to %s', users.{column},
                                coalesce(booked.total, 0))
        FROM users LEFT JOIN (
            SELECT split_part(account, ':', 2) AS user_id, {sign}sum(amount) AS total
            FROM entries WHERE account LIKE 'user:%:{account}' GROUP BY 1
        ) booked ON booked.user_id = users.id
        WHERE users.{column} <> coalesce(booked.total, 0)
    """


_JOB_MOVEMENTS = """
    moved AS (
        SELECT job_id,
               sum(amount) FILTER (WHERE kind = 'hold') AS held,
               sum(amount) FILTER (WHERE kind = 'capture') AS captured,
               sum(amount) FILTER (WHERE kind = 'release') AS released,
               count(*) FILTER (WHERE kind = 'capture') AS captures
        FROM transactions WHERE job_id IS NOT NULL GROUP BY job_id
    )
"""

CHECKS = (
    Check(
        "transaction_unbalanced",
        "The entries of a transaction sum to zero.",
        """SELECT transaction_id, format('its entries come to %s', sum(amount)) FROM entries
           GROUP BY transaction_id HAVING sum(amount) <> 0""",
    ),
    Check(
        "transaction_without_entries",
        "A transaction moves its amount.",
        """SELECT t.id, format('amount %s, moved %s', t.amount, coalesce(e.moved, 0))
           FROM transactions t LEFT JOIN (
               SELECT transaction_id, sum(amount) FILTER (WHERE amount > 0) AS moved
               FROM entries GROUP BY transaction_id) e ON e.transaction_id = t.id
           WHERE t.amount <> coalesce(e.moved, 0)""",
    ),
    Check(
        "account_unknown",
        "Entries are on a user's accounts or one of the house accounts.",
        """SELECT e.transaction_id, format('account %s', e.account) FROM entries e
           LEFT JOIN users u ON u.id = split_part(e.account, ':', 2)
           WHERE NOT (e.account IN ('house:grants', 'house:purchases', 'house:revenue',
                                    'house:expired')
                      OR e.account ~ '^user:[^:]+:(available|held|debt)$' AND u.id IS NOT NULL)""",
    ),
    Check(
        "entries_of_another_user",
        "A transaction touches the accounts of its own user only.",
        """SELECT DISTINCT t.id, format('of %s, on %s', t.user_id, e.account)
           FROM transactions t JOIN entries e ON e.transaction_id = t.id
           WHERE e.account LIKE 'user:%' AND split_part(e.account, ':', 2) <> t.user_id""",
    ),
    Check(
        "balance_differs",
        "A balance is what its entries come to.",
        _column_equals_entries("balance", "available"),
    ),
    Check(
        "held_differs",
        "What is held is what its entries come to.",
        _column_equals_entries("held", "held"),
    ),
    Check(
        "debt_differs",
        "A debt is what its entries come to.",
        _column_equals_entries("debt", "debt", "-"),
    ),
    Check(
        "job_without_hold",
        "A job that costs anything was paid for in advance.",
        f"""WITH {_JOB_MOVEMENTS} SELECT j.id, format('quoted %s, held %s', j.credits_quoted,
                                              coalesce(m.held, 0))
            FROM jobs j LEFT JOIN moved m ON m.job_id = j.id
            WHERE j.credits_quoted <> coalesce(m.held, 0)""",
    ),
    Check(
        "hold_not_settled",
        "Of a job that ended nothing is held any more.",
        f"""WITH {_JOB_MOVEMENTS}
            SELECT j.id, format('%s: held %s, captured %s, released %s', j.status, m.held,
                 coalesce(m.captured, 0), coalesce(m.released, 0))
            FROM jobs j JOIN moved m ON m.job_id = j.id
            WHERE j.finished_at IS NOT NULL
              AND coalesce(m.held, 0) <> coalesce(m.captured, 0) + coalesce(m.released, 0)""",
    ),
    Check(
        "charged_differs",
        "A job says what it was charged.",
        f"""WITH {_JOB_MOVEMENTS} SELECT j.id, format('says %s, captured %s', j.credits_charged,
                coalesce(m.captured, 0))
            FROM jobs j LEFT JOIN moved m ON m.job_id = j.id
            WHERE j.credits_charged <> coalesce(m.captured, 0)""",
    ),
    Check(
        "charged_twice",
        "A job is charged once.",
        f"WITH {_JOB_MOVEMENTS} SELECT job_id, format('%s captures', captures) FROM moved"
        " WHERE captures > 1",
    ),
    Check(
        "settled_before_its_end",
        "A job that has not ended still holds all of its credits.",
        f"""WITH {_JOB_MOVEMENTS} SELECT j.id, format('%s: captured %s, released %s', j.status,
                coalesce(m.captured, 0), coalesce(m.released, 0))
            FROM jobs j JOIN moved m ON m.job_id = j.id
            WHERE j.finished_at IS NULL AND (m.captured > 0 OR m.released > 0)""",
    ),
    Check(
        "job_holds_differ",
        "What a user has held is what the unfinished jobs hold.",
        """SELECT u.id, format('held %s, by jobs %s', u.held, coalesce(j.held, 0))
           FROM users u LEFT JOIN (
               SELECT user_id, sum(credits_held) AS held FROM jobs WHERE finished_at IS NULL
               GROUP BY user_id) j ON j.user_id = u.id
           WHERE u.held <> coalesce(j.held, 0)""",
    ),
    Check(
        "lot_differs",
        "Of credits that expire each is left, spent, expired or revoked.",
        """SELECT l.id, format('granted %s: left %s, spent %s, expired %s, revoked %s', l.granted,
                  l.remaining, coalesce(u.spent, 0), l.expired, l.revoked)
           FROM credit_lots l LEFT JOIN (
               SELECT lot_id, sum(taken - returned) AS spent FROM lot_uses GROUP BY lot_id) u
             ON u.lot_id = l.id
           WHERE l.granted <> l.remaining + l.expired + l.revoked + coalesce(u.spent, 0)""",
    ),
    Check(
        "lots_beyond_balance",
        "Credits that expire are part of the balance.",
        """SELECT u.id, format('balance %s, expiring %s', u.balance, sum(l.remaining))
           FROM users u JOIN credit_lots l ON l.user_id = u.id
           GROUP BY u.id HAVING sum(l.remaining) > u.balance""",
    ),
    Check(
        "lot_overdue",
        "Credits that have expired are gone within the hour.",
        """SELECT id, format('%s left since %s', remaining, expires_at) FROM credit_lots
           WHERE remaining > 0 AND expires_at < now() - interval '1 hour'""",
    ),
    Check(
        "key_spending_differs",
        "What an API key has spent is what its jobs cost, or may still cost.",
        """SELECT coalesce(k.api_key_id, j.api_key_id) || ' ' || coalesce(k.month, j.month),
                  format('says %s, its jobs %s', coalesce(k.spent, 0), coalesce(j.spent, 0))
           FROM key_spending k FULL JOIN (
               SELECT api_key_id, date_trunc('month', created_at AT TIME ZONE 'UTC')::date AS month,
                      sum(CASE WHEN finished_at IS NULL THEN credits_quoted
                               ELSE credits_charged END) AS spent
               FROM jobs WHERE api_key_id IS NOT NULL GROUP BY 1, 2) j
             ON j.api_key_id = k.api_key_id AND j.month = k.month
           WHERE coalesce(k.spent, 0) <> coalesce(j.spent, 0)""",
    ),
    Check(
        "storage_use_differs",
        "The bytes counted of a user are those of the files that are there.",
        """SELECT coalesce(s.user_id, f.user_id),
                  format('says %s, the files %s', coalesce(s.bytes, 0), coalesce(f.bytes, 0))
           FROM storage_use s FULL JOIN (
               SELECT user_id, sum(bytes) AS bytes FROM files WHERE deleted_at IS NULL
               GROUP BY user_id) f ON f.user_id = s.user_id
           WHERE coalesce(s.bytes, 0) <> coalesce(f.bytes, 0)""",
    ),
    Check(
        "payment_without_credits",
        "What was paid for is in the ledger.",
        """SELECT p.id, format('paid %s, booked %s', p.credits, coalesce(t.credits, 0))
           FROM payments p LEFT JOIN (
               SELECT natural_key, user_id,
                      CASE kind WHEN 'purchase' THEN amount WHEN 'refund' THEN -amount END
                          AS credits FROM transactions) t
             ON t.natural_key = 'stripe:' || p.id AND t.user_id = p.user_id
           WHERE p.credits <> coalesce(t.credits, 0)""",
    ),
    Check(
        "credits_without_payment",
        "Credits came and went for money that did.",
        """SELECT t.id, format('%s of %s credits for %s', t.kind, t.amount, t.natural_key)
           FROM transactions t
           LEFT JOIN payments p ON t.natural_key = 'stripe:' || p.id
           LEFT JOIN reversals r ON t.natural_key = 'stripe:' || r.id
           LEFT JOIN reversals u ON t.natural_key = 'stripe:' || u.id || ':undone'
           WHERE t.natural_key LIKE 'stripe:%'
             AND p.id IS NULL AND r.id IS NULL AND u.id IS NULL""",
    ),
    Check(
        "reversal_differs",
        "Money that went back took its credits, and gave them back if it did not stay away.",
        """SELECT r.id, format('%s credits: taken %s, given back %s', r.credits,
                  coalesce(t.amount, 0), coalesce(b.amount, 0))
           FROM reversals r
           LEFT JOIN transactions t ON t.natural_key = 'stripe:' || r.id
           LEFT JOIN transactions b ON b.natural_key = 'stripe:' || r.id || ':undone'
           WHERE r.credits <> coalesce(t.amount, 0)
              OR coalesce(b.amount, 0) <> CASE WHEN r.undone_at IS NULL THEN 0
                                               ELSE r.credits END""",
    ),
)


async def reconcile(session: AsyncSession, checks: Sequence[Check] = CHECKS) -> list[Difference]:
    """Run all checks; returns up to a hundred rows of each, and one more that counts the others.

    Under REPEATABLE READ all checks see the same moment, without locks.
    """
    differences: list[Difference] = []
    for check in checks:
        rows = (await session.execute(text(check.sql.replace(":", r"\:")))).all()
        differences += [Difference(check.name, row[0], row[1]) for row in rows[:MAX_ROWS]]
        if len(rows) > MAX_ROWS:
            differences.append(Difference(check.name, "...", f"and {len(rows) - MAX_ROWS} more"))
    return differences
