"""A replica's memory is kept for a week in Postgres and shown as metrics. No Ray."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select

from db.operations import gpu_stats
from db.session import Sessions, make_sessions, open_engine
from db.tables import GpuStat
from deployments.gpu_manager.memory_metrics import HasMemoryStats, MemorySampler
from models.schemas.memory import CardStats, MemoryStats
from tests.support.recorder import Recorder
from tests.support.waiting import until


class Replica:
    """A generator that has had ``n`` evictions."""

    def __init__(self, evictions: int = 0, plan: str = "resident") -> None:
        self.evictions, self.plan, self.asked = evictions, plan, 0
        self.card: CardStats | None = None

    def memory(self) -> MemoryStats | None:
        self.asked += 1
        return MemoryStats(
            device="cpu", allocated=100, reserved=120, peak=5_000_000_000, budget=7192 * 2**20,
            plans={"tiny": self.plan}, loads=3, evictions=self.evictions, ooms=1, plan_changes=1,
            card=self.card,
        )  # fmt: skip


async def rows(sessions: Sessions) -> list[GpuStat]:
    async with sessions() as session:
        return list((await session.scalars(select(GpuStat).order_by(GpuStat.id))).all())


async def test_a_sample_is_kept_as_a_row_and_shown_as_metrics(
    sessions: Sessions, shown: Recorder
) -> None:
    replica = Replica(evictions=2)
    sampler = MemorySampler("image", "r1", replica, sessions)
    assert await sampler.sample()
    replica.evictions, replica.plan = 5, "sliced"
    replica.card = CardStats(0.0, None, used=3 * 2**30, total=8 * 2**30)
    assert await sampler.sample()
    first, second = await rows(sessions)
    assert (first.generator, first.replica, first.device) == ("image", "r1", "cpu")
    assert (first.allocated_bytes, first.reserved_bytes) == (100, 120)
    assert (first.peak_bytes, first.budget_bytes) == (5_000_000_000, 7192 * 2**20)
    assert (first.plans, second.plans) == ({"tiny": "resident"}, {"tiny": "sliced"})
    assert (first.loads, first.evictions, first.ooms, second.evictions) == (3, 2, 1, 5)
    assert (first.card_utilization, first.card_used_bytes) == (None, None), "not known"
    assert (second.card_utilization, second.card_temperature_celsius) == (0, None), "0 is known"
    assert (second.card_used_bytes, second.card_total_bytes) == (3 * 2**30, 8 * 2**30)
    assert shown.labelled("atelier_memory_peak_bytes", "image") == 5_000_000_000
    assert shown.labelled("atelier_model_evictions_total", "image") == 5, "counted once each"
    assert shown.labelled("atelier_memory_plan", "('plan', 'resident')") == 0
    assert shown.labelled("atelier_memory_plan", "('plan', 'sliced')") == 1


async def test_rows_older_than_a_week_go_a_bounded_number_at_a_time(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_stats, "DELETED_AT_ONCE", 3)
    old = datetime.now(UTC) - gpu_stats.KEPT - timedelta(minutes=1)
    row = {
        "generator": "image", "replica": "gone", "device": "cpu", "allocated_bytes": 1,
        "reserved_bytes": 1, "peak_bytes": 1,
    }  # fmt: skip
    async with sessions.begin() as session:
        await session.execute(insert(GpuStat), [{**row, "sampled_at": old} for _ in range(5)])
        young = old + timedelta(minutes=2)
        await session.execute(insert(GpuStat).values(**row, sampled_at=young))
    sampler = MemorySampler("image", "r1", Replica(), sessions)
    left = []
    for _ in range(3):
        await sampler.sample()
        left.append(len(await rows(sessions)))
    assert left == [6 + 1 - 3, 4 + 1 - 2, 3 + 1]


async def test_replicas_that_sample_together_do_not_wait_for_each_other(sessions: Sessions) -> None:
    samplers = [MemorySampler("image", f"r{n}", Replica(), sessions) for n in range(4)]
    assert all(await asyncio.gather(*(sampler.sample() for sampler in samplers)))
    assert {row.replica for row in await rows(sessions)} == {"r0", "r1", "r2", "r3"}


@pytest.fixture
async def no_database() -> AsyncIterator[Sessions]:
    engine = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    yield make_sessions(engine)
    await engine.dispose()


async def test_metrics_go_on_while_the_database_is_down(
    no_database: Sessions, shown: Recorder
) -> None:
    sampler = MemorySampler("image", "r1", Replica(), no_database)
    assert not await sampler.sample()
    assert shown.labelled("atelier_memory_allocated_bytes", "image") == 100


async def test_a_running_sampler_survives_an_error_and_stops_when_told(sessions: Sessions) -> None:
    class Shaky(Replica):
        def memory(self) -> MemoryStats | None:
            stats = super().memory()
            if self.asked == 1:
                raise RuntimeError("not yet")
            return None if self.asked == 2 else stats

    shaky = Shaky()
    assert isinstance(shaky, HasMemoryStats) and not isinstance(object(), HasMemoryStats)
    sampler = MemorySampler("image", "r1", shaky, sessions, every_s=0.02)
    sampler.start()

    async def two_rows() -> bool:
        async with sessions() as session:
            return (await session.scalar(select(func.count()).select_from(GpuStat)) or 0) >= 2

    await until(two_rows)
    await sampler.stop()
    asked = shaky.asked
    await asyncio.sleep(0.1)
    assert shaky.asked == asked
