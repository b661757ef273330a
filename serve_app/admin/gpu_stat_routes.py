"""For staff: the memory of replicas, now and over the last week."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query

from db.operations import gpu_stats
from db.tables import GpuStat
from serve_app.admin.schemas import GpuStatsView, GpuStatView
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.http.dependencies import ClientsDep
from serve_app.http.schemas import Instant
from serve_app.routing import make_router

router = make_router("/v1/admin/gpu-stats", tags=["admin"])

# A replica that was silent for longer is gone; it samples several times a minute.
NEWEST_WITHIN = timedelta(hours=1)
# Of a series, whatever its length: enough for a chart.
POINTS = 200


@router.get("")
async def index(
    staff: Annotated[Identity, require(Permission.GPU_STATS_READ)],
    clients: ClientsDep,
    generator: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,64}$")] = None,
    since: Annotated[
        Instant | None,
        Query(description="Also the samples since then, thinned to about 200 a replica."),
    ] = None,
) -> GpuStatsView:
    """The newest sample of each replica that took one within the last hour and, with `since`,
    those before it, oldest first. Samples are kept for a week."""
    now = datetime.now(UTC)
    series: list[GpuStat] = []
    async with clients.sessions() as session:
        newest = await gpu_stats.newest(session, generator, now - NEWEST_WITHIN)
        if since is not None:
            start = max(since, now - gpu_stats.KEPT)
            step = max((now - start) / POINTS, timedelta(seconds=1))
            series += await gpu_stats.series(session, generator, start, step)
    return GpuStatsView(
        newest=[_view(row) for row in newest],
        series=None if since is None else [_view(row) for row in series],
    )


def _view(row: GpuStat) -> GpuStatView:
    return GpuStatView.model_validate(row, from_attributes=True)
