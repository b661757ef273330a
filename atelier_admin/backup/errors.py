"""Errors of backups; the message is for the operator."""

from __future__ import annotations


class BackupFailed(RuntimeError):
    """A backup, restore or drill cannot go on; the message says why, and what to do."""


class WrongKey(BackupFailed):
    """A file was encrypted with another key than the one given."""


class Corrupted(BackupFailed):
    """A file at the target is not what was written: damaged, cut short or exchanged."""
