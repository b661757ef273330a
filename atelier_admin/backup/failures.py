"""What may fail for a reason outside of the program: stores, disks, programs, keys."""

from __future__ import annotations

import psycopg
from minio.error import S3Error
from pymongo.errors import PyMongoError

from atelier_admin.backup.errors import BackupFailed
from atelier_admin.backup.programs import ProgramFailed
from db.embedded.process import ServerFailed
from db.errors import StoreUnavailable

FAILURES = (
    BackupFailed,
    ProgramFailed,
    ServerFailed,
    StoreUnavailable,
    OSError,
    psycopg.Error,
    PyMongoError,
    S3Error,
)
