"""Memory statistics that a replica exports."""

from __future__ import annotations

from dataclasses import dataclass


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
