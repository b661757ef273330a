"""One attempt at a job: how it ended, and the exception of an attempt that lost its job."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from billing.settlement import Settlement
from deployments.contract import Artifact


class AttemptLost(Exception):
    """The row belongs to another attempt, or is final: this attempt may write nothing more.

    A lost attempt has no ``Outcome``. Every stage that touches a store may raise this.
    """


class Outcome(StrEnum):
    """How an attempt ended. All but ``DRAINED`` are the job's final status as well."""

    SUCCEEDED = "succeeded"  # the generator returned its files
    FAILED = "failed"  # the job ends with an error and costs nothing
    CANCELED = "canceled"  # the owner stopped the job and pays for the finished part
    DRAINED = "drained"  # the replica shuts down: the job is queued for its next attempt


@dataclass(frozen=True)
class AttemptResult:
    """What one attempt produced, as each stage of the runner passes it to the next.

    ``artifacts`` are the generator's files, ``outputs`` describe them once they are uploaded.
    ``charged_fraction`` (0..1) of the quote is charged. ``result_key`` is that of files that can be
    used again (``deployments.result_key``). A ``stuck`` generator still holds its
    thread, so its replica has to be replaced.
    """

    outcome: Outcome
    artifacts: tuple[Artifact, ...] = ()
    outputs: list[dict[str, Any]] = field(default_factory=list)
    charged_fraction: float = 0.0
    error: dict[str, Any] | None = None
    stuck: bool = False
    result_key: str | None = None

    @classmethod
    def failed(cls, error: dict[str, Any], *, stuck: bool = False) -> AttemptResult:
        return cls(Outcome.FAILED, error=error, stuck=stuck)

    @property
    def settlement(self) -> Settlement:
        """What billing is asked to book for this result.

        Raises:
            ValueError: a drained attempt leaves its job unfinished.
        """
        if self.outcome is Outcome.DRAINED:
            raise ValueError("a drained attempt is queued again, not settled")
        return Settlement(
            self.outcome.value,
            charged_fraction=self.charged_fraction,
            outputs=self.outputs,
            error=self.error,
            result_key=self.result_key,
        )
