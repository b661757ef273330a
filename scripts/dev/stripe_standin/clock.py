"""Time that is moved on by hand: everything that falls due on the way happens, in its order."""

from __future__ import annotations

from scripts.dev.stripe_standin import subscriptions
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World


def advance_clock(world: World, given: Object, clock_id: str) -> Object:
    """A test clock, and with it the customers that were made on it."""
    clock = world.get("test_helpers.test_clock", clock_id)
    if given["frozen_time"] <= clock["frozen_time"]:
        raise Problem("You can only advance a clock to the future.", param="frozen_time")

    def to(seconds: int) -> None:
        clock["frozen_time"] = seconds

    _run(world, given["frozen_time"], clock_id, to)
    world.tell("test_helpers.test_clock.ready", clock)
    return clock


def advance_all(world: World, seconds: int) -> int:
    """Everybody who is on no test clock; returns what time it is then."""
    until = world.now() + seconds
    ahead = until - world.lag_s  # what the real clock will say

    def to(moment: int) -> None:
        world.lag_s += max(0, moment - world.now())

    _run(world, until, None, to)
    return ahead + world.lag_s


def _run(world: World, until: int, clock: str | None, to: object) -> None:
    assert callable(to)
    while True:
        due = [
            (when, subscription["id"])
            for subscription in world.all("subscription")
            if subscription["test_clock"] == clock
            and (when := subscriptions.next_due(world, subscription)) is not None
            and when <= until
        ]
        if not due:
            break
        when, subscription_id = min(due)
        to(when)
        subscriptions.come_due(world, world.objects["subscription"][subscription_id])
    to(until)
