"""The migrated schema is the one the tables declare, and it holds the ledger's rules itself."""

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, insert, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db import migrate
from db.errors import StoreUnavailable
from db.migrate import upgrade
from db.operations import audit_chain
from db.operations.audit_chain import ChainReport
from db.session import make_sessions, open_engine
from db.settings import StoreSettings
from db.tables import AuditLog, Base, Entry, Outbox, Transaction, User
from tests.support.migrations import check, downgrade

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public'
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 't' AND conrelid <> 0
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


def made_up(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def empty_database(store_settings: StoreSettings) -> Iterator[str]:
    """The address of a database with nothing in it, dropped afterwards."""
    url = store_settings.database_url.get_secret_value()
    name = f"empty_{secrets.token_hex(4)}"
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield made_up(url, name)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def described(url: str, query: str) -> set[tuple[object, ...]]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        rows = {tuple(row) for row in connection.execute(text(query))}
    return {row for row in rows if row[0] != "alembic_version"}


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES])
def test_migrations_make_exactly_what_the_tables_declare(empty_database: str, query: str) -> None:
    Base.metadata.create_all(create_engine(empty_database, poolclass=NullPool))
    declared = described(empty_database, query)
    Base.metadata.drop_all(create_engine(empty_database, poolclass=NullPool))
    upgrade(empty_database)
    assert described(empty_database, query) == declared
    check(empty_database)


def test_a_downgrade_leaves_nothing_and_the_way_up_is_open_again(empty_database: str) -> None:
    upgrade(empty_database)
    downgrade(empty_database)
    assert described(empty_database, COLUMNS) == set()
    assert described(empty_database, FUNCTIONS) == set()
    upgrade(empty_database)
    assert ("jobs",) in {row[:1] for row in described(empty_database, COLUMNS)}


def test_processes_that_start_together_migrate_once(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(upgrade, empty_database) for _ in range(4)]:
            done.result(240)
    check(empty_database)


def test_the_alembic_command_waits_for_another_that_migrates(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an address as providers give it."""
    plain = empty_database.replace("postgresql+psycopg://", "postgres://")
    monkeypatch.setenv("DATABASE_URL", plain)
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 0.2)
    ours = Config(Path("alembic.ini"))
    with create_engine(empty_database, poolclass=NullPool).connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": migrate.LOCK_ID})
        with pytest.raises(TimeoutError, match="still migrating"):
            command.upgrade(ours, "head")
    monkeypatch.undo()
    monkeypatch.setenv("DATABASE_URL", plain)
    command.upgrade(ours, "head")
    check(empty_database)


def test_a_database_that_is_down_is_said_to_be_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")


@pytest.fixture
def ledger(empty_database: str) -> Iterator[Connection]:
    """A migrated database with one user and one balanced movement of 5 credits."""
    upgrade(empty_database)
    with create_engine(empty_database, poolclass=NullPool).connect() as connection:
        connection.execute(insert(User).values(id="usr_a", email="a@example.com", password_hash=""))
        movement(connection, "txn_good", [-5, 5])
        connection.commit()
        yield connection


def movement(connection: Connection, name: str, amounts: list[int]) -> None:
    connection.execute(
        insert(Transaction).values(
            id=name, user_id="usr_a", kind="grant", amount=5, natural_key=name, reason="test"
        )
    )
    for amount in amounts:
        connection.execute(
            insert(Entry).values(transaction_id=name, account="house:grants", amount=amount)
        )


@pytest.mark.parametrize("amounts", [[], [5], [-5, 4], [5, 5]])
def test_a_movement_that_does_not_balance_cannot_be_committed(
    ledger: Connection, amounts: list[int]
) -> None:
    movement(ledger, "txn_bad", amounts)
    with pytest.raises(IntegrityError, match="txn_bad"):
        ledger.commit()
    ledger.rollback()
    assert ledger.scalar(text("SELECT count(*) FROM transactions")) == 1


def test_an_entry_cannot_be_slipped_into_an_old_movement(ledger: Connection) -> None:
    ledger.execute(insert(Entry).values(transaction_id="txn_good", account="x", amount=1))
    with pytest.raises(IntegrityError, match="txn_good"):
        ledger.commit()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET amount = 6",
        "DELETE FROM transactions",
        "UPDATE entries SET amount = amount * 2",
        "DELETE FROM entries",
    ],
)
def test_what_was_booked_cannot_be_changed(ledger: Connection, change: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        ledger.execute(text(change))


ATTEMPTS = {
    # as it was: status, attempt, crashes, why it failed; and the attempts that must have been lost
    "job_new": ("queued", 0, 0, None, 0),
    "job_again": ("queued", 2, 1, None, 2),
    "job_first": ("running", 1, 0, None, 0),
    "job_third": ("running", 3, 1, None, 2),
    "job_done": ("succeeded", 2, 0, None, 1),
    "job_lost": ("failed", 3, 1, "worker_lost", 3),
    "job_poison": ("failed", 2, 2, "quarantined", 2),
    "job_wrong": ("failed", 1, 0, "generator_error", 0),
}


def test_the_losses_of_earlier_jobs_follow_from_their_attempts(empty_database: str) -> None:
    upgrade(empty_database, "0007")
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        connection.execute(insert(User).values(id="usr_a", email="a@example.com", password_hash=""))
        for job_id, (status, attempt, crashes, code, _) in ATTEMPTS.items():
            connection.execute(
                text(
                    "INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,"
                    " credits_held, price_version, attempt, crashes, error, heartbeat_at,"
                    " finished_at) VALUES (:id, 'usr_a', 'image', :status, '{}', 1, 0, 0, 'x',"
                    " :attempt, :crashes, jsonb_build_object('code', cast(:code AS text)), now(),"
                    " CASE WHEN :status IN ('queued', 'running') THEN NULL ELSE now() END)"
                ),
                {
                    "id": job_id,
                    "status": status,
                    "attempt": attempt,
                    "crashes": crashes,
                    "code": code,
                },
            )
    upgrade(empty_database)
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        rows = connection.execute(text("SELECT id, losses FROM jobs")).all()
        connection.execute(text("UPDATE jobs SET attempt = 9 WHERE id = 'job_third'"))
    found = {row.id: row.losses for row in rows}
    assert found == {job_id: expected for job_id, (*_, expected) in ATTEMPTS.items()}
    downgrade(empty_database, "0007")
    with create_engine(empty_database, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("SELECT max(attempt) FROM jobs")) == 3


def test_deferred_jobs_stay_deferred_when_their_column_is_renamed(empty_database: str) -> None:
    upgrade(empty_database, "0014")
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        connection.execute(insert(User).values(id="usr_a", email="a@example.com", password_hash=""))
        for job_id, parked_at in (("job_deferred", since), ("job_queued", None)):
            connection.execute(
                text(
                    "INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,"
                    " credits_held, price_version, parked_at)"
                    " VALUES (:id, 'usr_a', 'image', 'queued', '{}', 1, 0, 0, 'x', :parked_at)"
                ),
                {"id": job_id, "parked_at": parked_at},
            )
    upgrade(empty_database)
    with create_engine(empty_database, poolclass=NullPool).connect() as connection:
        rows = connection.execute(text("SELECT id, deferred_at FROM jobs")).all()
    assert {row.id: row.deferred_at for row in rows} == {"job_deferred": since, "job_queued": None}
    downgrade(empty_database, "0014")
    with create_engine(empty_database, poolclass=NullPool).connect() as connection:
        rows = connection.execute(text("SELECT id, parked_at FROM jobs")).all()
    assert {row.id: row.parked_at for row in rows} == {"job_deferred": since, "job_queued": None}


WAITING = {
    # as it was: user, priority, rank, promoted, credits; its tag, and its rank after a downgrade
    "job_a1": ("usr_a", "normal", 0, False, 2, 30_000, 1),
    "job_a2": ("usr_a", "normal", 1, False, 3, 60_000, 3),
    "job_a3": ("usr_a", "normal", 2, True, 1, 10_000, 0),
    "job_a4": ("usr_a", "low", 3, False, 1, 40_000, 2),
    "job_b1": ("usr_b", "high", 0, False, 4, 5_000, 0),
}


def test_waiting_jobs_keep_their_order_when_ranks_become_tags_and_back(empty_database: str) -> None:
    upgrade(empty_database, "0016")
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        for user_id, plan in (("usr_a", "free"), ("usr_b", "starter")):
            connection.execute(
                insert(User).values(
                    id=user_id, email=f"{user_id}@example.com", password_hash="", plan=plan
                )
            )
        for job_id, (user_id, priority, rank, promoted, credits, _, _) in WAITING.items():
            connection.execute(
                text(
                    "INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,"
                    " credits_held, price_version, priority, rank, promoted_at) VALUES (:id, :user,"
                    " 'image', 'queued', '{}', 1, :credits, 0, 'x', :priority, :rank,"
                    " CASE WHEN :promoted THEN now() END)"
                ),
                {
                    "id": job_id,
                    "user": user_id,
                    "credits": credits,
                    "priority": priority,
                    "rank": rank,
                    "promoted": promoted,
                },
            )
            payload = {"job_id": job_id, "generator": "image", "attempt": 1, "priority": 9}
            connection.execute(
                insert(Outbox).values(topic="enqueue", natural_key=job_id, payload=payload)
            )
    upgrade(empty_database)
    tags = {job_id: row[5] for job_id, row in WAITING.items()}
    assert found(empty_database, "SELECT id, queue_tag FROM jobs") == tags
    assert found(empty_database, MESSAGES.format("queue_tag")) == tags
    assert found(empty_database, MESSAGES.format("priority")) == dict.fromkeys(WAITING)
    downgrade(empty_database, "0016")
    ranks = {job_id: row[6] for job_id, row in WAITING.items()}
    assert found(empty_database, "SELECT id, rank FROM jobs") == ranks
    assert found(empty_database, MESSAGES.format("priority"))["job_a3"] == 1 + 699_050


MESSAGES = "SELECT natural_key, (payload ->> '{}')::bigint FROM outbox"


def found(url: str, query: str) -> dict[str, int]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text(query))}


def test_rows_of_the_audit_log_are_chained_and_keep_their_numbers(empty_database: str) -> None:
    upgrade(empty_database, "0018")
    old = [(3, "grant", "user.grant"), (7, "user.limits", "user.limits")]
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        for number, action, _ in old:
            connection.execute(
                text(
                    "INSERT INTO audit_log (id, actor, action, subject, detail)"
                    " OVERRIDING SYSTEM VALUE VALUES (:id, 'usr_a', :action, 'usr_b', '{\"n\": 1}')"
                ),
                {"id": number, "action": action},
            )
    upgrade(empty_database)
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        connection.execute(insert(AuditLog).values(actor="usr_a", action="new", subject="usr_b"))
        rows = connection.execute(text("SELECT id, action FROM audit_log ORDER BY id")).all()
    assert rows == [*((number, action) for number, _, action in old), (8, "new")]
    report = asyncio.run(_check(empty_database))
    assert (report.rows, report.broken_id) == (3, None)
    downgrade(empty_database, "0018")
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        connection.execute(
            text("INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', 'c')")
        )
        assert connection.scalar(text("SELECT max(id) FROM audit_log")) == 9


async def _check(url: str) -> ChainReport:
    engine = open_engine(url, connections=2)
    try:
        async with make_sessions(engine)() as session:
            return await audit_chain.check(session)
    finally:
        await engine.dispose()
