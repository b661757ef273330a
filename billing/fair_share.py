"""What a job takes of its queue: its work, divided by the weights of the plan and of the priority.

The work of a job is its full price: the one measure of the size of a single request that is known
when it is submitted, that never changes, and that is the same on every replica (decision 30). The
discount of a plan does not make a job smaller.
"""

from __future__ import annotations

import math

from billing.plans import Plan

# Shares of one user's jobs and another's, while both wait. ``low`` is slow, and never starves.
PRIORITY_WEIGHTS = {"high": 4.0, "normal": 1.0, "low": 0.25}
# Virtual time is counted in whole ticks, so that tags are exact in Postgres and in the doubles of
# Redis (up to 2^53, which a queue of 500 credits a second reaches after 57 years). A credit of work
# takes a flow of weight 1 this far.
TICKS_PER_CREDIT = 10_000


def cost(credits: int, plan: Plan, priority: str) -> int:
    """Return the ticks of virtual time that a job takes its flow.

    ``credits`` is its price before discounts. The cost is at least two ticks, so that waiting jobs
    of a flow never have equal tags.
    """
    weight = plan.queue_weight * PRIORITY_WEIGHTS[priority]
    return max(2, math.ceil(TICKS_PER_CREDIT * credits / weight))
