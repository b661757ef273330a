"""The catalog of metrics: conventions, how many series there can be, and that each is of use."""

import re
import sys
from math import prod

import pytest

from billing import job_counts
from billing.job_counts import SERVICE_FAULTS
from billing.reconcile import CHECKS
from db.outbox import rows as outbox
from db.tables.base import FINAL_STATUSES, LEDGER_KINDS, PRIORITIES
from deployments.error_codes import JOB_ERROR_CODES
from deployments.gpu_manager.engine_metrics import EngineMetrics
from deployments.gpu_manager.memory_metrics import MemoryMetrics
from deployments.maintenance import delivery_counts
from deployments.maintenance.deployment import TASKS
from metrics import catalog, sink
from metrics.labels import LABELS
from metrics.metric import Counter, Gauge, Histogram, Metric
from models.diffusion.batching.stats import EngineStats, LabelStats
from models.schemas.memory import MemoryStats
from scripts import postgres_backups
from scripts.dashboards import queries
from serve_app.http.metrics import Metrics
from tests.support.recorder import recording
from tests.support.rules import METRICS, ROOT, exported_names, metric_names, rules

# Of one process. A scrape of a node reads a few dozen processes, of which most have few metrics.
MOST_SERIES = 40_000
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
# What others export. RAY: ray/dashboard/modules/reporter. DCGM: NVIDIA's dcgm-exporter.
OTHERS = {
    "ray_node_gpus_utilization", "ray_node_gram_used", "ray_node_gpu_temperature_celsius",
    "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_XID_ERRORS",
    "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE",
    "probe_ssl_earliest_cert_expiry", "up", postgres_backups.NAME,
}  # fmt: skip
NAMES = {metric.name for metric in METRICS}
# Only an ingress replica's own page has it.
WITHOUT_RAY = {"atelier_queue_jobs"}


def read_names() -> set[str]:
    """What panels, alerts and recordings read."""
    expressions = [rule["expr"] for rule in rules()] + [query for _, _, query in queries()]
    return {name for expression in expressions for name in metric_names(expression)}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_prometheus_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"atelier_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == isinstance(metric, Counter)
    assert not re.search(r"_(ms|milliseconds|minutes|mb|kb|percent)(_|$)", metric.name)
    assert metric.text.endswith(".")
    if isinstance(metric, Histogram):
        assert metric.name.endswith("_seconds")
        assert metric.buckets == tuple(sorted(metric.buckets)) and metric.buckets[0] > 0
    assert isinstance(metric, Counter | Gauge | Histogram)


def test_no_name_is_taken_twice() -> None:
    assert len(NAMES) == len(METRICS) > 50


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_there_are_few_series_of_each(metric: Metric) -> None:
    """By the largest number of values that each label can have, all combined."""
    each = len(metric.buckets) + 3 if isinstance(metric, Histogram) else 1
    count = each * prod(LABELS[label].count for label in metric.labels)
    # Routes have one or two methods each, and one class of status in all but errors.
    if "route" in metric.labels:
        count //= len(LABELS["method"].values) * 4
    # A model is under one plan at a time, and each replica has its own models.
    if "plan" in metric.labels:
        count //= LABELS["plan"].count * 4
    assert 0 < count <= MOST_SERIES


def test_no_label_names_a_person_a_job_or_a_path() -> None:
    assert not {"user", "user_id", "job_id", "key", "path", "email", "url"} & set(LABELS)
    used = {label for metric in METRICS for label in metric.labels}
    assert used == set(LABELS)


def test_labels_list_what_the_code_has() -> None:
    assert LABELS["outcome"].values == FINAL_STATUSES
    assert LABELS["priority"].values == PRIORITIES
    assert set(LABELS["movement"].values) == set(LEDGER_KINDS)
    topics = {outbox.ENQUEUE, outbox.NOTIFY, outbox.WEBHOOK, outbox.MAIL}
    assert set(LABELS["topic"].values) == topics
    assert len(CHECKS) <= LABELS["check"].most and len(TASKS) <= LABELS["task"].most


def test_faults_of_the_service_are_codes_that_jobs_have() -> None:
    codes = {one.code: one for one in JOB_ERROR_CODES}
    assert set(codes) >= SERVICE_FAULTS
    retryable = {code for code, one in codes.items() if one.retryable}
    assert retryable <= SERVICE_FAULTS, "what may work another time is not the input's fault"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_is_documented_and_used(metric: Metric) -> None:
    assert f"| `{metric.name}` |" in OPERATIONS
    names = {metric.name} if metric.name in WITHOUT_RAY else exported_names(metric)
    assert names & read_names(), "no panel and no alert reads it"


def test_what_panels_and_alerts_read_exists() -> None:
    exported = {name for metric in METRICS for name in exported_names(metric)}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert read_names() <= exported | recorded | OTHERS | WITHOUT_RAY
    assert read_names() >= OTHERS, "the list has a name that nobody reads"
    assert recorded <= read_names()


def test_documentation_names_no_metric_that_is_not_there() -> None:
    named = set(re.findall(r"`(atelier_[a-z0-9_]+)`", OPERATIONS))
    assert named <= NAMES | {"atelier_client", postgres_backups.NAME}


def test_a_value_with_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="has the labels"):
        catalog.JOBS_SUBMITTED.inc(user="u_1")


def test_nothing_is_recorded_and_ray_is_not_loaded_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    sink.RaySink().record(catalog.GPUS, "gauge", 1, {})
    assert "ray" not in sys.modules


def test_ray_is_given_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Ray's own classes, which check names, labels and values; no cluster is there."""
    import ray
    from ray.util import metrics as of_ray

    given: list[tuple[str, float, dict[str, str]]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(
        of_ray.Metric,
        "_record",
        lambda self, value, tags=None: given.append((self._name, value, tags)),
    )
    monkeypatch.setattr(sink, "current", sink.RaySink())
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        match metric:
            case Counter():
                metric.inc(0, **labels)
                metric.start(**labels)
                metric.inc(2, **labels)
            case Gauge():
                metric.set(2, **labels)
            case Histogram():
                metric.observe(2, **labels)
    expected = [
        (one.name, value, dict.fromkeys(one.labels, "x"))
        for one in METRICS
        for value in ((0, 2) if isinstance(one, Counter) else (2,))
    ]
    assert given == expected


def test_counters_begin_at_zero() -> None:
    """Else the first failure of a process is no increase."""
    with recording() as seen:
        job_counts.start_counts(["image"])
        delivery_counts.start_counts()
        page = Metrics(["image"])
        page.count_answer("POST", "/v1/jobs", "202")
        page.count_answer("POST", "/v1/jobs", "503")
        page.count_answer("POST", "/v1/jobs", "503")
        sizes = {"allocated": 1, "reserved": 1, "peak": 1, "budget": 1, "plans": {}}
        counted = {"loads": 2, "evictions": 0, "ooms": 0, "plan_changes": 0}
        memory, engine = MemoryMetrics(), EngineMetrics()
        stats = MemoryStats("cpu", **sizes, **counted)
        batches = EngineStats(labels={"image": LabelStats(batches=3)})
        memory.export("gpu_manager", "r1", stats)
        engine.export(batches)
        manager = {"generator": "gpu_manager", "replica": "r1", "device": "cpu"}
        assert seen.value(catalog.MODEL_LOADS, **manager) == 0
        assert seen.value(catalog.ENGINE_BATCHES, generator="image") == 0
        memory.export("gpu_manager", "r1", stats)
        engine.export(batches)
    expected: list[tuple[Counter | Gauge, dict[str, str], int]] = [
        (catalog.JOBS_ENDED, {"generator": "image", "outcome": "failed", "fault": "service"}, 0),
        (catalog.DELIVERIES, {"topic": "webhook", "delivery": "given_up"}, 0),
        (catalog.DELIVERIES, {"topic": "mail", "delivery": "given_up"}, 0),
        (catalog.HTTP_REQUESTS, {"method": "POST", "route": "/v1/jobs", "status": "500"}, 0),
        (catalog.HTTP_REQUESTS, {"method": "POST", "route": "/v1/jobs", "status": "503"}, 2),
        (catalog.PUSH_FAILURES, {"generator": "image"}, 0),
        (catalog.WELCOME_WITHHELD, {}, 0),
        (catalog.EVENT_STREAMS, {}, 0),
        (catalog.CREDITS, {"movement": "purchase"}, 0),
        (catalog.MODEL_LOADS, manager, 2),
        (catalog.MODEL_OOMS, manager, 0),
        (catalog.ENGINE_BATCHES, {"generator": "image"}, 3),
        (catalog.ENGINE_SHARED_BATCHES, {"generator": "image"}, 0),
    ]
    for counter, labels, value in expected:
        series = counter.name, tuple(sorted(labels.items()))
        assert seen.values.get(series) == value, series
    assert 'status="503"} 2.0' in page.render().decode()


def test_a_recorder_refuses_values_that_are_not_listed() -> None:
    with recording(), pytest.raises(AssertionError, match="atelier_credits_total"):
        catalog.CREDITS.inc(1, movement="gift")


def test_a_kept_gauge_is_shown_until_it_is_set_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "_kept", {})
    check = CHECKS[0].name
    catalog.LEDGER_FINDINGS.keep(3, check=check)
    for found in (3, 0):
        catalog.LEDGER_FINDINGS.keep(found, check=check)
        with recording() as later:
            sink.repeat_kept()
        assert later.value(catalog.LEDGER_FINDINGS, check=check) == found
        assert len(later.values) == 1
