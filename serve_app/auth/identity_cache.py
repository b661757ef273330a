"""Keep whose a key or a log-in is, so that not every request asks Postgres.

Only what is valid is kept, and only used while every change is heard: see
:class:`serve_app.auth.identity_changes.IdentityChanges`. Not covered: a change that Postgres does
not tell of, because its triggers are switched off; it counts once the entry is over.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serve_app.auth.identity import Identity

# Beyond it the one that was used longest ago is left out. One takes about a kilobyte.
MOST = 10_000
# Whoever heard nothing for so long may have missed a change.
MAX_SILENCE_S = 5.0

# What was looked up: ("key", hash of the key), ("login", family and user).
Credential = tuple[str, ...]


class LookUp(NamedTuple):
    """Whose a credential is, and for how many seconds at most if nothing is changed."""

    identity: Identity
    valid_s: float = inf


class _Entry(NamedTuple):
    identity: Identity
    ends_at: float


class IdentityCache:
    """The identities that one process has looked up; one is kept for ``lifetime_s`` at most."""

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._entries: OrderedDict[Credential, _Entry] = OrderedDict()
        self._of_user: dict[str, set[Credential]] = {}
        self._changes = 0
        self._complete_to = -inf

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be kept."""
        return self._lifetime_s > 0

    @property
    def is_used(self) -> bool:
        """Whether every change was heard that is older than a few seconds at most."""
        return self._clock() - self._complete_to < MAX_SILENCE_S

    async def get(
        self, credential: Credential, look_up: Callable[[], Awaitable[LookUp]]
    ) -> Identity:
        """Return whose the credential is: as it is kept, or else as ``look_up`` says.

        Raises:
            Exception: what ``look_up`` raised, of which nothing is kept.
        """
        if not self.is_used:
            return (await look_up()).identity
        asked_at = self._clock()
        entry = self._entries.get(credential)
        if entry is not None and asked_at < entry.ends_at:
            self._entries.move_to_end(credential)
            return entry.identity
        changes = self._changes
        found = await look_up()
        # After a change the answer may be the one from before it.
        if changes == self._changes:
            ends_at = asked_at + min(found.valid_s, self._lifetime_s)
            self._keep(credential, _Entry(found.identity, ends_at))
        return found.identity

    def forget(self, user_id: str) -> None:
        """Keep nothing of a user that was looked up until now, or is being looked up."""
        self._changes += 1
        for credential in self._of_user.pop(user_id, ()):
            del self._entries[credential]

    def clear(self) -> None:
        """The same, for all users."""
        self._changes += 1
        self._entries.clear()
        self._of_user.clear()

    def heard_all_before(self, moment: float) -> None:
        """Use what is kept: all changes until ``moment`` (of the clock) are forgotten here."""
        self._complete_to = max(self._complete_to, moment)

    def stop(self) -> None:
        """Use nothing that is kept, until changes are heard again."""
        self._complete_to = -inf
        self.clear()

    def _keep(self, credential: Credential, entry: _Entry) -> None:
        self._drop(credential)
        self._entries[credential] = entry
        self._of_user.setdefault(entry.identity.user_id, set()).add(credential)
        if len(self._entries) > MOST:
            self._drop(next(iter(self._entries)))

    def _drop(self, credential: Credential) -> None:
        entry = self._entries.pop(credential, None)
        if entry is None:
            return
        of_user = self._of_user[entry.identity.user_id]
        of_user.remove(credential)
        if not of_user:
            del self._of_user[entry.identity.user_id]
