"""What ends the command, and its exit statuses.

::

    AdminError                 the message is for the operator
    +-- Refused 1              it cannot be done; nothing was changed
    +-- NotScalable 1          Serve cannot change it (atelier_admin.dashboard)
    +-- BadConfiguration 2     settings are missing or malformed
    +-- DashboardUnavailable 4 Ray's dashboard does not answer (atelier_admin.dashboard)

A store that does not answer is 4, too.
"""

from __future__ import annotations

from typing import ClassVar

DONE, WRONG, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 4, 130


class AdminError(Exception):
    """The command cannot go on; ``status`` is its exit status."""

    status: ClassVar[int] = WRONG


class Refused(AdminError):
    """What was asked for cannot be done; nothing was changed."""


class BadConfiguration(AdminError):
    """Settings are missing or malformed."""

    status = USAGE
