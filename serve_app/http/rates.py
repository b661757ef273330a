"""How many requests of each class are let in: by plan for a user and a key, for all by address.

One table for all of it. ``RATE_LIMIT_PER_MINUTE`` is how often a user of the default plan may read
in a minute; every other rate is in proportion to it (the shares below, and ``rate_factor`` of the
plan). ``RATE_LIMITS`` replaces single ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from billing import plans

RateClass = Literal["read", "write", "submit", "upload", "login", "refresh", "public"]
# Of what a user of the default plan may read.
_USER_SHARES: dict[RateClass, float] = {
    "read": 1.0,
    "write": 0.5,
    "submit": 0.5,
    "upload": 0.2,
    "refresh": 0.1,
}
# Networks share an address, so that of logging in is no bound of guesses:
# serve_app.auth.failed_attempts has those. Who is logged in goes on while neighbors try passwords.
_ADDRESS_SHARES: dict[RateClass, float] = {"login": 0.2, "refresh": 1.0, "public": 1.0}
# Counted by the address of who asks; by user and key. ``refresh`` is counted by both.
OF_ADDRESSES: tuple[RateClass, ...] = tuple(_ADDRESS_SHARES)
OF_USERS: tuple[RateClass, ...] = tuple(_USER_SHARES)
# What counts in this process while Redis is away. A guess at a password, and what fills queues and
# disks, is bounded then as well; the rest is let in.
COUNTED_HERE: frozenset[RateClass] = frozenset({"login", "submit", "upload"})
# The name beside the plans' in ``RATE_LIMITS``.
ADDRESS = "address"

_MINUTE_US = 60_000_000


class Rate(BaseModel):
    """A token bucket: it holds ``burst`` requests and is filled by ``per_minute``.

    ``burst`` that is not given is as many as come in a minute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_minute: int = Field(gt=0, le=10**9)
    burst: int | None = Field(default=None, gt=0, le=10**9)

    @property
    def capacity(self) -> int:
        return self.burst or self.per_minute

    @property
    def interval_us(self) -> int:
        """The microseconds in which one request comes back; rounded up, so never too few."""
        return math.ceil(_MINUTE_US / self.per_minute)

    @property
    def window_s(self) -> int:
        """The seconds in which an empty bucket fills."""
        return math.ceil(self.capacity * self.interval_us / 1_000_000)

    def part(self, percent: int) -> Rate:
        """Return so many hundredths of it, at least one request."""
        burst = None if self.burst is None else max(1, self.burst * percent // 100)
        return Rate(per_minute=max(1, self.per_minute * percent // 100), burst=burst)


# By plan, or ADDRESS, and class.
Overrides = dict[str, dict[RateClass, Rate]]


def check_overrides(overrides: Overrides) -> Overrides:
    """Return them; raises ValueError for a plan that there is not, or a class counted elsewhere."""
    for name, rates in overrides.items():
        if name != ADDRESS and name not in plans.PLANS:
            raise ValueError(f"no plan {name}; there is {', '.join(plans.PLANS)}, and {ADDRESS}")
        known = OF_ADDRESSES if name == ADDRESS else OF_USERS
        if unknown := rates.keys() - set(known):
            raise ValueError(f"{name} has {', '.join(known)}; not {', '.join(sorted(unknown))}")
    return overrides


class RateTable:
    """The rates of an installation."""

    def __init__(self, base: int, overrides: Overrides, key_percent: int) -> None:
        """``key_percent`` of what its user may send is what one API key may."""
        self._of_users = {
            plan.name: _rates(_USER_SHARES, base * plan.rate_factor, overrides.get(plan.name, {}))
            for plan in plans.PLANS.values()
        }
        self._of_keys = {
            name: {kind: rate.part(key_percent) for kind, rate in rates.items()}
            for name, rates in self._of_users.items()
        }
        self._of_addresses = _rates(_ADDRESS_SHARES, base, overrides.get(ADDRESS, {}))

    def of_user(self, plan: str) -> Mapping[RateClass, Rate]:
        """Return the rates of a user; those of the default for a plan that no longer exists."""
        return self._of_users.get(plan) or self._of_users[plans.DEFAULT.name]

    def of_key(self, plan: str) -> Mapping[RateClass, Rate]:
        """Return the rates of one API key of such a user."""
        return self._of_keys.get(plan) or self._of_keys[plans.DEFAULT.name]

    def of_address(self) -> Mapping[RateClass, Rate]:
        return self._of_addresses


def _rates(
    shares: Mapping[RateClass, float], base: int, overrides: Mapping[RateClass, Rate]
) -> dict[RateClass, Rate]:
    return {
        kind: overrides.get(kind) or Rate(per_minute=min(10**9, max(1, int(base * share))))
        for kind, share in shares.items()
    }
