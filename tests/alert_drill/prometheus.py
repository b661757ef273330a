"""A real Prometheus with the rules of ops/prometheus, which reads the service under drill."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from db.embedded.state import free_port
from tests.support.rules import PROMETHEUS, RULE_FILES

PROGRAM = "prometheus"
INTERVAL = "5s"  # between scrapes, and between evaluations of the rules
START_S = 60.0
TIMEOUT_S = 30.0


class PrometheusFailed(RuntimeError):
    """It did not start, or did not understand a query; the message says which."""


def configuration(config: dict[str, Any], service_port: int, ray_folder: Path) -> dict[str, Any]:
    """ops/prometheus/prometheus.yml for one service on this machine, without an Alertmanager.

    Jobs whose targets are listed in files that a drill does not have stay, and find nothing.
    """
    files = {"ray": ray_folder / "prom_metrics_service_discovery.json"}
    targets = {"ingress": [f"127.0.0.1:{service_port}"]}
    jobs = []
    for given in config["scrape_configs"]:
        job = dict(given)
        if (path := files.get(job["job_name"])) is not None:
            job["file_sd_configs"] = [{"files": [str(path)], "refresh_interval": INTERVAL}]
        if (listed := targets.get(job["job_name"])) is not None:
            job["static_configs"] = [{"targets": listed}]
        jobs.append(job)
    return {
        "global": {
            "scrape_interval": INTERVAL,
            "scrape_timeout": INTERVAL,
            "evaluation_interval": INTERVAL,
        },
        "rule_files": [str(PROMETHEUS / name) for name in RULE_FILES],
        "scrape_configs": jobs,
    }


class Prometheus:
    """Asks a Prometheus that runs."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def expressions(self) -> dict[str, str]:
        """The expression of every alert, as Prometheus itself has it, by the alert's name."""
        groups = self._get("/api/v1/rules", type="alert")["groups"]
        return {rule["name"]: rule["query"] for group in groups for rule in group["rules"]}

    def is_true(self, expression: str) -> bool:
        """Whether the expression returns a sample now.

        Raises:
            PrometheusFailed: Prometheus did not answer, or does not understand it.
        """
        return bool(self._get("/api/v1/query", query=expression)["result"])

    def had_data(self, expression: str, began: float, ended: float) -> bool:
        """Whether the expression returned a number at any time between these (seconds of Unix).
        NaN, as of a quantile of nothing, is none: Grafana draws nothing for it.

        Raises:
            PrometheusFailed: Prometheus did not answer, or does not understand it.
        """
        between = {"start": f"{began:.0f}", "end": f"{ended:.0f}", "step": INTERVAL}
        series = self._get("/api/v1/query_range", query=expression, **between)["result"]
        return any(value != "NaN" for one in series for _, value in one["values"])

    def has_data(self) -> bool:
        """Whether it has read what maintenance measures, through Ray's exporter."""
        return self.is_true("ray_atelier_measured_timestamp_seconds")

    def _get(self, path: str, **parameters: str) -> Any:
        try:
            answer = self._http.get(path, params=parameters).json()
        except (httpx.HTTPError, ValueError) as error:
            raise PrometheusFailed(f"{path}: {error}") from error
        if answer["status"] != "success":
            raise PrometheusFailed(f"{path}: {answer['error']}")
        return answer["data"]


@contextmanager
def running(folder: Path, service_port: int, ray_folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with its data in ``folder``.

    Raises:
        PrometheusFailed: it did not start; the message has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config = configuration(given, service_port, ray_folder)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port, log = free_port(), folder / "prometheus.log"
    program = shutil.which(PROGRAM)
    if program is None:
        raise PrometheusFailed(f"{PROGRAM} is not installed")
    command = [
        program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/-/ready", log)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise PrometheusFailed(f"prometheus did not start: {log.read_text()[-1000:]}")
