"""Every table, with the constraints that hold the invariants no matter what the code does.

Money is whole credits. Times are timestamptz in UTC. The status of a job moves only as
``JOB_STATUSES`` says, and only through the guarded UPDATEs in ``db.jobs.transitions``.
"""

from db.tables.accounts import (
    ROLES,
    AccountToken,
    ApiKey,
    DailyCounter,
    File,
    IdempotencyKey,
    Persona,
    PersonaFile,
    RefreshToken,
    Role,
    StorageUse,
    User,
)
from db.tables.backups import Backup
from db.tables.base import (
    BACKUP_KINDS,
    DEAD_REASONS,
    DEAD_RESOLUTIONS,
    FINAL_STATUSES,
    JOB_STATUSES,
    LEDGER_KINDS,
    PRIORITIES,
    Base,
)
from db.tables.batches import Batch
from db.tables.factors import Passkey, RecoveryCode, TotpFactor
from db.tables.incidents import Incident, IncidentNote
from db.tables.jobs import DeadLetter, Job, QueueClock, QueueState
from db.tables.ledger import CreditLot, Entry, KeySpending, LotUse, Transaction
from db.tables.operations import AuditLog, GpuStat, JobDocument
from db.tables.outbox import Outbox, WebhookSecret
from db.tables.payments import (
    Payment,
    Reversal,
    StripeCustomer,
    StripeEvent,
    Subscription,
    Watermark,
)

__all__ = [
    "BACKUP_KINDS",
    "DEAD_REASONS",
    "DEAD_RESOLUTIONS",
    "FINAL_STATUSES",
    "JOB_STATUSES",
    "LEDGER_KINDS",
    "PRIORITIES",
    "ROLES",
    "AccountToken",
    "ApiKey",
    "AuditLog",
    "Backup",
    "Base",
    "Batch",
    "CreditLot",
    "DailyCounter",
    "DeadLetter",
    "Entry",
    "File",
    "GpuStat",
    "IdempotencyKey",
    "Incident",
    "IncidentNote",
    "Job",
    "JobDocument",
    "KeySpending",
    "LotUse",
    "Outbox",
    "Passkey",
    "Payment",
    "Persona",
    "PersonaFile",
    "QueueClock",
    "QueueState",
    "RecoveryCode",
    "RefreshToken",
    "Reversal",
    "Role",
    "StorageUse",
    "StripeCustomer",
    "StripeEvent",
    "Subscription",
    "TotpFactor",
    "Transaction",
    "User",
    "Watermark",
    "WebhookSecret",
]
