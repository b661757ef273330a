"""The numbers by which jobs are retried, given up, queued again, and timed.

``db`` has the statements only, and callers pass the numbers of this file to them. The checks
``attempts_bounded`` and ``losses_bounded`` on the table of jobs allow exactly these maxima.
"""

from __future__ import annotations

from datetime import timedelta

from db.tables import Job

# A running job whose heartbeat is older than this has lost its replica.
LEASE = timedelta(seconds=20)
# A job fails with the third attempt that is lost. A drained attempt is not lost.
MAX_LOSSES = 3
# A job whose replica crashed once runs its next attempt alone. After the second crash it is the
# cause beyond doubt, and ends as quarantined.
MAX_CRASHES = 2
# A job that drains have queued again this often runs to its end, even if its replica drains.
MAX_DRAIN_REQUEUES = 20
# The weight of a new measurement in the moving averages of job and loading times.
TIMING_SAMPLE_WEIGHT = 0.2


def can_requeue_drained(job: Job) -> bool:
    """Whether a drain may still queue the running ``job`` again."""
    return job.attempt - 1 - job.losses < MAX_DRAIN_REQUEUES
