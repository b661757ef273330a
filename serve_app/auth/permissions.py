"""What each role may do to what is not its own: the one table that decides it.

A route of ``/v1/admin`` depends on one permission (``serve_app.auth.identity.require``). Names have
a dot, so that nobody takes them for the scopes of API keys, which have a colon. A role with any
permission may have tokens and keys with the scope ``admin``; what they then may do is what the role
of their owner may do at that moment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from db.tables import ROLES, Role


class Permission(StrEnum):
    """One thing that staff may do."""

    ACCOUNTS_READ = "accounts.read"
    ACCOUNTS_DISABLE = "accounts.disable"  # and enable again
    ACCOUNTS_LIMITS = "accounts.limits"  # plans, too
    ACCOUNTS_ROLE = "accounts.role"
    # What the others allow is allowed for accounts of staff as well, and for what is theirs.
    ACCOUNTS_STAFF = "accounts.staff"
    CREDITS_GRANT = "credits.grant"
    LEDGER_READ = "ledger.read"
    JOBS_READ = "jobs.read"
    JOBS_CANCEL = "jobs.cancel"
    JOBS_RETRY = "jobs.retry"
    INPUTS_READ = "inputs.read"  # what customers asked for
    AUDIT_LOG_READ = "audit_log.read"
    QUEUES_READ = "queues.read"
    QUEUES_ORDER = "queues.order"
    DEAD_LETTERS_READ = "dead_letters.read"
    DEAD_LETTERS_RESOLVE = "dead_letters.resolve"
    GPU_STATS_READ = "gpu_stats.read"
    INCIDENTS_READ = "incidents.read"
    INCIDENTS_WRITE = "incidents.write"  # what users read on /status
    # Make keys, and change the account, by a key with the scope admin in place of a log-in.
    LOGIN_BY_KEY = "login.by_key"


PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "user": frozenset(),
    # For customers' questions: sees what happened, stops it. No credits, no queues.
    "support": frozenset(
        {
            Permission.ACCOUNTS_READ,
            Permission.ACCOUNTS_DISABLE,
            Permission.JOBS_READ,
            Permission.JOBS_CANCEL,
            Permission.JOBS_RETRY,
            Permission.AUDIT_LOG_READ,
            Permission.DEAD_LETTERS_READ,
        }
    ),
    # For the machinery: no accounts, no credits, nothing that customers made.
    "ops": frozenset(
        {
            Permission.QUEUES_READ,
            Permission.QUEUES_ORDER,
            Permission.DEAD_LETTERS_READ,
            Permission.DEAD_LETTERS_RESOLVE,
            Permission.GPU_STATS_READ,
            Permission.INCIDENTS_READ,
            Permission.INCIDENTS_WRITE,
        }
    ),
    "admin": frozenset(Permission),
}


def allows(role: str, permission: Permission) -> bool:
    """Return whether the role has the permission; one that is not known has none."""
    return permission in PERMISSIONS.get(role, ())


def is_staff(role: str) -> bool:
    """Return whether the role may do anything to what is not its own."""
    return bool(PERMISSIONS.get(role))


def adds_permissions(before: Role, after: Role) -> bool:
    """Return whether ``after`` may do anything that ``before`` may not."""
    return not PERMISSIONS[after] <= PERMISSIONS[before]


def roles_in_reach(role: str) -> Collection[Role]:
    """Return the roles of the accounts that ``role`` may act on, with whatever permission."""
    return ROLES if allows(role, Permission.ACCOUNTS_STAFF) else ("user",)
