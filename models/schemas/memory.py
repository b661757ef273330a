"""Memory statistics that a replica exports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardStats:
    """A card at one moment, by all programs together; None is not known.

    ``utilization`` is the share (0..1) of the last second or less in which it computed; ``used``
    and ``total`` are bytes.
    """

    utilization: float | None
    temperature_celsius: int | None
    used: int | None
    total: int | None


@dataclass(frozen=True)
class MemoryStats:
    """A replica's memory at one moment. Sizes are bytes; counts are since the replica started."""

    device: str
    allocated: int
    reserved: int
    peak: int
    budget: int
    plans: dict[str, str]  # the memory plan of each loaded model, by key
    loads: int
    evictions: int
    ooms: int
    plan_changes: int
    load_seconds: float = 0.0  # time spent on loading, all loads together
    card: CardStats | None = None  # None on a CPU
