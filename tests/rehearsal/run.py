"""One case on its card: under the plan that a replica takes, and under the next."""

from __future__ import annotations

import gc
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.gpu.memory import SMALL_MB, is_off
from models.diffusion.batching.encoder_cache import MAX_CACHE_MB
from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.memory.errors import OutOfMemory
from models.memory.peaks import MB
from models.memory.plans import MemoryPlan
from models.profiles.load import Capability, Profile
from tests.rehearsal import hub, work
from tests.rehearsal.cases import Case
from tests.rehearsal.fake_card import CONTEXT_MB, FakeCard
from tests.rehearsal.replay import replayed

SPARE_MB = 500
WAIT_S = 60.0  # for models at work, on a machine that has other work


@dataclass
class Row:
    """One line of the report. Sizes are MB; ``faults`` says what is wrong, in words."""

    profile: str
    capability: str
    model: str
    plan: str
    chosen: bool
    weights: int = 0  # and what else stays on the card after a request
    peak: int = 0
    four: int = 0
    estimate: int = 0
    seconds: float = 0.0
    checked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def of(self, case: Case) -> Row:
        """This line for another profile that has it in common, judged on its card."""
        row = replace(self, profile=case.profile, faults=list(self.faults))
        row._judge(case.card_mb)
        return row

    def _judge(self, total_mb: int) -> None:
        if not self.peak:
            return
        error = self.estimate - self.peak
        if is_off(self.estimate, self.peak):
            self.faults.append(
                f"the estimate is off by {error / self.peak:+.0%}: say activations"
                f" {self.peak - self.weights} above {self.weights} of weights"
            )
        if "offload" in self.plan and self.weights > MAX_CACHE_MB + SMALL_MB:
            self.faults.append(f"{self.weights} MB stay on the card between requests")
        if self.chosen and self.peak + CONTEXT_MB + SPARE_MB > total_mb:
            self.faults.append(f"{self.peak} MB and a context leave less than {SPARE_MB} MB")


def rehearse(case: Case) -> list[Row]:
    """The lines of one case, not judged yet; never raises."""
    profile, capability = case.load(), case.capability
    row = Row(profile.name, capability.value, profile.model(capability).name, "", True)
    rows, started = [row], time.monotonic()
    try:
        hub.fill(profile)
        card = FakeCard(case.card_mb)
        with card.inserted(), hub.configurations_only(), replayed(card.memory):
            _run(profile, capability, card, rows, case.quick)
    except hub.ArchitectureMissing as missing:
        row.faults.append(str(missing))
    except Exception as error:
        rows[-1].faults.append(_said(error))
    finally:
        gc.collect()
    for made in rows:
        made.seconds = round((time.monotonic() - started) / len(rows), 1)
    return rows


def _run(
    profile: Profile, capability: Capability, card: FakeCard, rows: list[Row], quick: bool
) -> None:
    budget = MemoryBudget.detect(profile.device)
    budget.enforce()
    cache = ModelCache(budget, wait_timeout_s=WAIT_S)
    limit = card.memory.limit
    with work.worker(profile, capability, cache) as worker:
        row = rows[0]
        plan = worker.loader.choose_plan(budget)
        _measure(row, plan, worker, cache, card)
        for name, do in worker.features().items():
            if quick and name not in ("four at once, with previews", "through a manager"):
                continue
            card.reset_peak()
            try:
                do()
            except Exception as error:
                row.faults.append(f"{name}: {_said(error)}")
            else:
                row.checked.append(name)
            if name.startswith("four"):
                row.four = card.peak_mb
        plans = worker.loader.available_plans(budget.device)
        later = plans[plans.index(plan) + 1 :]
        if quick or not later or row.faults:
            return
        # The card has less left than the plan takes, for one request.
        fallen = Row(row.profile, row.capability, row.model, later[0].value, chosen=False)
        rows.append(fallen)
        cache.evict_idle()
        card.memory.limit = (row.weights + row.peak) // 2 * MB
        try:
            worker.once()
        except OutOfMemory:
            cache._lowered_plans[worker.loader.key] = later[0]
        else:
            fallen.checked.append("out of memory")
        card.memory.limit = limit
        _measure(fallen, later[0], worker, cache, card)


def _measure(row: Row, plan: MemoryPlan, worker: Any, cache: ModelCache, card: FakeCard) -> None:
    """One request, the weights loaded before."""
    row.plan, row.estimate = plan.value, worker.loader.estimate_mb(plan)
    cache.run(worker.loader, lambda _: None)
    card.reset_peak()
    worker.once()
    row.peak = card.peak_mb
    gc.collect()
    row.weights = card.allocated_mb
    now = cache.stats().plans.get(worker.loader.key)
    if now != plan.value:
        row.faults.append(f"ran out of memory under {plan.value} and fell to {now}")
        row.plan = str(now)
        row.estimate = worker.loader.estimate_mb(MemoryPlan(now)) if now else 0


def _said(error: Exception) -> str:
    where = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "/models/" in frame.filename or "/diffusers/" in frame.filename
    ]
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:160]} ({', '.join(where[-3:])})"
