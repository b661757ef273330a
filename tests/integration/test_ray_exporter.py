"""The names that Ray's exporter gives our metrics are those that dashboards and alerts read."""

import subprocess
import sys

from metrics import catalog
from tests.support.rules import ROOT, exported_names

COUNTER, GAUGE, HISTOGRAM = catalog.JOBS_ENDED, catalog.STORE_UP, catalog.JOB_WAIT

# As Ray's agent on a node does with what a process sends it, in a process of its own: it changes
# what is global to OpenTelemetry. An inner part of Ray, which may move with its version.
CODE = f"""
from prometheus_client import generate_latest
from ray._private.telemetry.open_telemetry_metric_recorder import OpenTelemetryMetricRecorder

recorder = OpenTelemetryMetricRecorder(gauge_metric_ttl_seconds=60)
recorder.register_counter_metric({COUNTER.name!r}, "text")
recorder.register_gauge_metric({GAUGE.name!r}, "text")
recorder.register_histogram_metric({HISTOGRAM.name!r}, "text", {list(HISTOGRAM.buckets)!r})
for name in {[COUNTER.name, GAUGE.name, HISTOGRAM.name]!r}:
    recorder.set_metric_value(name, {{"generator": "image"}}, 30)
print(generate_latest().decode())
"""


def test_names_and_bounds_are_as_rules_have_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {line.partition("{")[0] for line in done.stdout.splitlines() if "image" in line}
    assert names == {name for one in (COUNTER, GAUGE, HISTOGRAM) for name in exported_names(one)}
    # The rules take a bound with and without its decimal point.
    assert 'le="60"' in done.stdout or 'le="60.0"' in done.stdout
