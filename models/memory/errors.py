"""Why a model cannot be used now: memory. No torch here."""

from __future__ import annotations


class AllModelsInUse(RuntimeError):
    """The memory is taken by models at work, and none of them finished in time; try again later."""


class OutOfMemory(RuntimeError):
    """The work ran out of memory twice, the second time with less; ask for a smaller size."""


class ModelDoesNotFit(RuntimeError):
    """No memory plan fits the budget; use a smaller profile or a larger share."""
