"""Tags in place of ranks and promotions: queues are served by self-clocked fair queueing.

Waiting jobs get the tags that they would have, had nothing been started before: they keep their
order in their flow. Messages of the version before have other scores: stop it before the upgrade.
Maintenance pushes every waiting job once more, because the key of the epoch has a new name.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

QUEUED = "status = 'queued'"
DEFERRED = f"{QUEUED} AND deferred_at IS NOT NULL"
OLD_ORDER = ("(promoted_at IS NULL)", "(priority = 'low')", "(priority = 'normal')")

# What billing.fair_share said at this version, by the quoted price.
TAGS = """
    WITH costs AS (
        SELECT jobs.id, user_id, generator, priority, promoted_at, rank,
               greatest(2, ceil(10000.0 * credits_quoted
                   / CASE users.plan WHEN 'starter' THEN 2 WHEN 'pro' THEN 4
                                     WHEN 'unlimited' THEN 4 ELSE 1 END
                   / CASE priority WHEN 'high' THEN 4 WHEN 'low' THEN 0.25 ELSE 1 END
               ))::bigint AS cost
        FROM jobs JOIN users ON users.id = jobs.user_id
        WHERE status = 'queued'
    ), tags AS (
        SELECT id, cost, sum(cost) OVER (
            PARTITION BY user_id, generator, priority
            ORDER BY promoted_at IS NULL, rank, id ROWS UNBOUNDED PRECEDING
        )::bigint AS tag
        FROM costs
    )
    UPDATE jobs SET queue_tag = tags.tag, queue_cost = tags.cost
    FROM tags WHERE tags.id = jobs.id
"""
RANKS = """
    WITH ranks AS (
        SELECT id, row_number() OVER (
            PARTITION BY user_id, generator ORDER BY queue_tag, id
        ) - 1 AS rank
        FROM jobs WHERE status = 'queued'
    )
    UPDATE jobs SET rank = ranks.rank FROM ranks WHERE ranks.id = jobs.id
"""
# Rows of the outbox that nobody has delivered yet. The band of a class has 699,050 ranks.
TAGS_OF_MESSAGES = """
    UPDATE outbox
    SET payload = payload - 'priority' || jsonb_build_object('queue_tag', jobs.queue_tag)
    FROM jobs
    WHERE topic = 'enqueue' AND done_at IS NULL AND jobs.id = payload ->> 'job_id'
"""
PRIORITIES_OF_MESSAGES = """
    UPDATE outbox
    SET payload = payload - 'queue_tag' || jsonb_build_object('priority', 1 + jobs.rank
        + CASE jobs.priority WHEN 'high' THEN 0 WHEN 'normal' THEN 699050 ELSE 1398100 END)
    FROM jobs
    WHERE topic = 'enqueue' AND done_at IS NULL AND jobs.id = payload ->> 'job_id'
"""


def upgrade() -> None:
    for name in ("queue_tag", "queue_cost"):
        op.add_column(
            "jobs", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
        )
    op.execute(TAGS)
    op.execute(TAGS_OF_MESSAGES)
    op.create_check_constraint(
        "queue_tag_positive", "jobs", "queue_tag >= 0 AND queue_cost >= 0"
    )
    op.drop_index("jobs_waiting_by_user", "jobs")
    op.drop_index("jobs_deferred", "jobs")
    op.drop_column("jobs", "promoted_at")
    op.drop_column("jobs", "rank")
    flow = ["user_id", "generator", "priority"]
    for name, columns, where in (
        ("jobs_waiting_by_user", [*flow, "id"], QUEUED),
        ("jobs_waiting_by_tag", [*flow, "queue_tag"], QUEUED),
        ("jobs_deferred", [*flow, "id"], DEFERRED),
    ):
        op.create_index(
            name,
            "jobs",
            columns,
            postgresql_ops={"id": 'COLLATE "C"'},
            postgresql_where=sa.text(where),
        )
    op.create_table(
        "queue_clocks",
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("generator", "user_id"),
    )
    op.create_index("queue_clocks_by_tag", "queue_clocks", ["generator", "tag"])


def downgrade() -> None:
    op.drop_table("queue_clocks")
    op.add_column("jobs", sa.Column("rank", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(RANKS)
    op.execute(PRIORITIES_OF_MESSAGES)
    for name in ("jobs_waiting_by_user", "jobs_waiting_by_tag", "jobs_deferred"):
        op.drop_index(name, "jobs")
    op.create_index(
        "jobs_waiting_by_user",
        "jobs",
        ["user_id", "generator", *(sa.text(part) for part in OLD_ORDER), "rank", "id"],
        postgresql_where=sa.text(QUEUED),
    )
    op.create_index(
        "jobs_deferred", "jobs", ["user_id", "generator"], postgresql_where=sa.text(DEFERRED)
    )
    op.drop_constraint("queue_tag_positive", "jobs")
    op.drop_column("jobs", "queue_cost")
    op.drop_column("jobs", "queue_tag")
