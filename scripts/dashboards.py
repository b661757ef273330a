"""Write Grafana's dashboards: ``python -m scripts.dashboards --write``.

Each panel is one line of ``DASHBOARDS``: its title, its unit and its queries. Without ``--write``
it says whether the files in ``ops/grafana/dashboards`` are those of this table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "ops" / "grafana" / "dashboards"
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
# In Grafana's own words.
SECONDS, BYTES, SHARE, PER_SECOND, CELSIUS, COUNT = (
    "s",
    "bytes",
    "percentunit",
    "ops",
    "celsius",
    "",
)


@dataclass(frozen=True)
class Query:
    """An expression of PromQL, and how its series are named."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Dashboard:
    name: str
    title: str
    panels: tuple[Panel, ...]


def _panel(title: str, unit: str, *queries: str | tuple[str, str]) -> Panel:
    made = (Query(one) if isinstance(one, str) else Query(*one) for one in queries)
    return Panel(title, unit, tuple(made))


def _quantiles(metric: str, by: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 95th percentile of a histogram, by a label."""
    rates = f"sum by (le, {by}) (rate(ray_{metric}_bucket{{{where}}}[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({quantile}, {rates})", f"{name} {{{{{by}}}}}")
        for quantile, name in (("0.5", "p50"), ("0.95", "p95"))
    )


def _rate(metric: str, by: str, where: str = "") -> tuple[str, str]:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return f"sum by ({by}) (rate(ray_{metric}{{{where}}}[$__rate_interval]))", legend


def _gauge(metric: str, by: str, how: str = "max") -> tuple[str, str]:
    return f"{how} by ({by}) (ray_{metric})", f"{{{{{by}}}}}"


_SUBMITS = 'method="POST",route=~"/v1/jobs|/v1/batches"'

DASHBOARDS = (
    Dashboard("service", "Atelier: service", (
        _panel("Submits that fail by our fault (objective: 0.1 %)", SHARE,
               ("atelier:submit_errors:ratio_rate1h", "last hour"),
               ("atelier:submit_errors:ratio_rate6h", "last six hours")),
        _panel("Jobs that start too late (objective: 5 %)", SHARE,
               ("atelier:wait_late:ratio_rate1h", "{{priority}}")),
        _panel("Webhooks sent too late (objective: 1 %)", SHARE,
               ("atelier:webhooks_late:ratio_rate1h", "last hour")),
        _panel("Answers by status", PER_SECOND, _rate("atelier_http_requests_total", "status")),
        _panel("Busiest routes", PER_SECOND,
               ("topk(10, sum by (method, route) "
                "(rate(ray_atelier_http_requests_total[$__rate_interval])))",
                "{{method}} {{route}}")),
        _panel("Time of a submit", SECONDS,
               *_quantiles("atelier_http_request_seconds", "route", _SUBMITS)),
        _panel("Slowest routes, p95", SECONDS,
               ("topk(10, histogram_quantile(0.95, sum by (le, method, route) "
                "(rate(ray_atelier_http_request_seconds_bucket[$__rate_interval]))))",
                "{{method}} {{route}}")),
        _panel("Open event streams", COUNT, ("sum(ray_atelier_event_streams)", "open")),
        _panel("Jobs accepted", PER_SECOND, _rate("atelier_jobs_submitted_total", "generator")),
        _panel("Jobs that ended", PER_SECOND, _rate("atelier_jobs_ended_total", "outcome, fault")),
        _panel("Pushes left to maintenance", PER_SECOND,
               _rate("atelier_queue_push_failures_total", "generator")),
        _panel("Results given again", PER_SECOND,
               _rate("atelier_result_cache_total", "generator, found")),
        _panel("Refused by a rate", PER_SECOND, _rate("atelier_rate_limited_total", "rate_class")),
        _panel("Accounts without welcome credits", PER_SECOND,
               ("sum(rate(ray_atelier_welcome_credits_withheld_total[$__rate_interval]))",
                "accounts")),
        _panel("Rounds of maintenance that failed or waited", PER_SECOND,
               _rate("atelier_maintenance_rounds_total", "task, round", 'round!="done"')),
        _panel("Since maintenance last looked", SECONDS,
               ("time() - max(ray_atelier_measured_timestamp_seconds)", "ago")),
    )),
    Dashboard("generators", "Atelier: generators", (
        _panel("Oldest job that waits", SECONDS,
               _gauge("atelier_job_oldest_waiting_seconds", "generator")),
        _panel("Jobs that wait", COUNT, _gauge("atelier_jobs_waiting", "generator")),
        _panel("Jobs set aside for their users' limits", COUNT,
               _gauge("atelier_jobs_deferred", "generator")),
        _panel("Jobs that run", COUNT, _gauge("atelier_jobs_running", "generator")),
        _panel("Messages in the queues", COUNT,
               ("max by (generator) (ray_atelier_queue_waiting)", "{{generator}} waiting"),
               ("max by (generator) (ray_atelier_queue_active)", "{{generator}} active")),
        _panel("Messages, by an ingress replica", COUNT,
               ("max by (generator, state) (atelier_queue_jobs)", "{{generator}} {{state}}")),
        _panel("Replicas: asked and running", COUNT,
               ("max by (generator) (ray_atelier_replicas_asked)", "{{generator}} asked"),
               ("max by (generator) (ray_atelier_replicas_running)", "{{generator}} running")),
        _panel("GPUs: asked and there", COUNT,
               ("max(ray_atelier_gpus_asked)", "asked"), ("max(ray_atelier_gpus)", "there")),
        _panel("What a job takes (average that scaling uses)", SECONDS,
               _gauge("atelier_job_seconds", "generator")),
        _panel("Wait by priority", SECONDS, *_quantiles("atelier_job_wait_seconds", "priority")),
        _panel("Wait by generator", SECONDS, *_quantiles("atelier_job_wait_seconds", "generator")),
        _panel("Run", SECONDS, *_quantiles("atelier_job_run_seconds", "generator")),
        _panel("From submit to the end", SECONDS,
               *_quantiles("atelier_job_total_seconds", "generator")),
        _panel("Jobs that failed by our fault", SHARE,
               ('sum by (generator) (rate(ray_atelier_jobs_ended_total{fault="service"}[15m])) '
                "/ sum by (generator) (rate(ray_atelier_jobs_ended_total[15m]))",
                "{{generator}}")),
        _panel("Dead letters", COUNT, _gauge("atelier_dead_letters_open", "generator")),
        _panel("Open batches", COUNT, ("max(ray_atelier_batches_open)", "batches")),
        _panel("Oldest batch", SECONDS, ("max(ray_atelier_batch_oldest_seconds)", "age")),
    )),
    Dashboard("gpu", "Atelier: GPUs and models", (
        _panel("Steps a second", PER_SECOND, _rate("atelier_engine_batches_total", "generator")),
        _panel("Pictures in a step", COUNT,
               ("sum by (generator) (rate(ray_atelier_engine_batch_rows_total[$__rate_interval])) "
                "/ sum by (generator) (rate(ray_atelier_engine_batches_total[$__rate_interval]))",
                "{{generator}}")),
        _panel("Pictures drawn a step, in all", PER_SECOND,
               _rate("atelier_engine_rows_total", "generator")),
        _panel("Steps shared with other generators", PER_SECOND,
               _rate("atelier_engine_shared_batches_total", "generator")),
        _panel("Memory of a manager", BYTES,
               ("sum by (replica) (ray_atelier_memory_allocated_bytes)", "{{replica}} in use"),
               ("sum by (replica) (ray_atelier_memory_reserved_bytes)", "{{replica}} reserved"),
               ("sum by (replica) (ray_atelier_memory_peak_bytes)", "{{replica}} peak"),
               ("sum by (replica) (ray_atelier_memory_budget_bytes)", "{{replica}} budget")),
        _panel("Plans of loaded models", COUNT,
               ("sum by (model, plan) (ray_atelier_memory_plan)", "{{model}} {{plan}}")),
        _panel("Models loaded and evicted", PER_SECOND,
               ("sum(rate(ray_atelier_model_loads_total[$__rate_interval]))", "loaded"),
               ("sum(rate(ray_atelier_model_evictions_total[$__rate_interval]))", "evicted")),
        _panel("Time spent on loading models", SHARE,
               _rate("atelier_model_load_seconds_total", "replica")),
        _panel("Operations of managers", PER_SECOND,
               _rate("atelier_gpu_operation_seconds_count", "operation")),
        _panel("Operations at work at a time", COUNT,
               _rate("atelier_gpu_operation_seconds_sum", "operation")),
        _panel("Time of an operation", SECONDS,
               *_quantiles("atelier_gpu_operation_seconds", "operation")),
        _panel("Out of memory, and changes of plan", PER_SECOND,
               ("sum(rate(ray_atelier_model_ooms_total[$__rate_interval]))", "out of memory"),
               ("sum(rate(ray_atelier_model_plan_changes_total[$__rate_interval]))", "changes")),
        _panel("Utilization of cards (Ray)", "percent",
               ("ray_node_gpus_utilization", "{{instance}} {{GpuIndex}}")),
        _panel("Memory of cards in use (Ray, MB)", COUNT,
               ("ray_node_gram_used", "{{instance}} {{GpuIndex}}")),
        _panel("Temperature of cards", CELSIUS,
               ("ray_node_gpu_temperature_celsius", "{{instance}} {{GpuIndex}}"),
               ("DCGM_FI_DEV_GPU_TEMP", "{{Hostname}} {{gpu}}")),
        _panel("Tensor cores active (DCGM)", SHARE,
               ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "{{Hostname}} {{gpu}}")),
        _panel("Last XID error (DCGM)", COUNT,
               ("DCGM_FI_DEV_XID_ERRORS", "{{Hostname}} {{gpu}}")),
        _panel("Memory bandwidth in use (DCGM)", SHARE,
               ("DCGM_FI_PROF_DRAM_ACTIVE", "{{Hostname}} {{gpu}}")),
    )),
    Dashboard("money", "Atelier: money", (
        _panel("Credits moved", PER_SECOND, _rate("atelier_credits_total", "movement")),
        _panel("Credits held", COUNT, ("max(ray_atelier_credits_held)", "held")),
        _panel("Credits granted and purchased today", COUNT,
               ('sum by (movement) (increase(ray_atelier_credits_total'
                '{movement=~"grant|purchase"}[1d]))', "{{movement}}")),
        _panel("Rows that break a rule of the ledger", COUNT,
               _gauge("atelier_ledger_findings", "check", "sum")),
        _panel("Since the ledger was checked", SECONDS,
               ("time() - max(ray_atelier_ledger_checked_timestamp_seconds)", "ago")),
        _panel("Jobs with stuck holds", COUNT, ("max(ray_atelier_stuck_holds)", "jobs")),
        _panel("Stripe's events that wait", COUNT,
               ("max(ray_atelier_stripe_events_waiting)", "events")),
        _panel("Oldest of Stripe's events", SECONDS,
               ("max(ray_atelier_stripe_lag_seconds)", "age")),
        _panel("Stripe and the ledger do not agree on", COUNT,
               ("max(ray_atelier_stripe_unmatched)", "rows")),
    )),
    Dashboard("stores", "Atelier: stores and deliveries", (
        _panel("Stores that answer", COUNT, _gauge("atelier_store_up", "store", "min")),
        _panel("Time of a probe", SECONDS, *_quantiles("atelier_store_probe_seconds", "store")),
        _panel("Probes that failed", PER_SECOND, _rate("atelier_store_errors_total", "store")),
        _panel("Outbox: rows not delivered", COUNT, _gauge("atelier_outbox_waiting", "topic")),
        _panel("Outbox: oldest row", SECONDS, _gauge("atelier_outbox_oldest_seconds", "topic")),
        _panel("Outbox: how late the sender is", SECONDS,
               _gauge("atelier_outbox_late_seconds", "topic")),
        _panel("Attempts to deliver", PER_SECOND,
               _rate("atelier_deliveries_total", "topic, delivery")),
        _panel("Until the first attempt", SECONDS,
               *_quantiles("atelier_delivery_delay_seconds", "topic")),
        _panel("Disk: free", BYTES, _gauge("atelier_disk_free_bytes", "folder", "min")),
        _panel("Disk: used", SHARE,
               ("1 - ray_atelier_disk_free_bytes / ray_atelier_disk_size_bytes", "{{folder}}")),
        _panel("Age of the last backup, and of the last drill", SECONDS,
               _gauge("atelier_backup_age_seconds", "backup", "min")),
        _panel("Exporters that answer", COUNT, ("min by (job) (up)", "{{job}}")),
    )),
)  # fmt: skip


def render(dashboard: Dashboard) -> str:
    """The dashboard as Grafana's JSON."""
    found = {
        "uid": f"atelier-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["atelier"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": []},
        "links": [
            {"type": "dashboards", "tags": ["atelier"], "title": "Atelier", "asDropdown": True}
        ],
        "panels": [_panel_json(number, one) for number, one in enumerate(dashboard.panels)],
    }
    return json.dumps(found, indent=1) + "\n"


def _panel_json(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}},
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": source,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def queries() -> Iterator[tuple[str, str, str]]:
    """Every query with the dashboard and the panel that it is of."""
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield dashboard.name, panel.title, query.expression


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files")
    write = parser.parse_args(argv).write
    stale = []
    for dashboard in DASHBOARDS:
        path, content = FOLDER / f"{dashboard.name}.json", render(dashboard)
        if write:
            path.write_text(content, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != content:
            stale.append(path.name)
    if stale:
        print(f"not as scripts/dashboards.py has them: {', '.join(stale)}; run it with --write")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
