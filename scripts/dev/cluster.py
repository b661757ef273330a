"""A local Ray that carries the application of serve_config.yaml and dies with this process."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import structlog
import yaml

from db.embedded.state import free_port
from deployments.catalog import load_catalog

ROOT = Path(__file__).parents[2]
OBJECT_STORE_BYTES = 150 * 2**20
POLL_INTERVAL_S = 0.2
RESERVED_CPUS = 0.4  # of the ingress and the keeper
_AGENT_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)

log = structlog.get_logger(__name__)


def application(path: Path = ROOT / "serve_config.yaml") -> dict[str, Any]:
    """The one application of the Serve config file."""
    (only,) = yaml.safe_load(path.read_text())["applications"]
    found: dict[str, Any] = only
    return found


def sweep_leftovers(folder: Path) -> int:
    """End what a killed run of this folder left behind; returns how many processes that were.

    Only processes whose command line or environment names the folder: other people's Ray lives.
    """
    ended = []
    for process in psutil.process_iter(["pid", "uids"]):
        if process.pid == os.getpid():
            continue
        try:
            words = " ".join(process.cmdline())
            if str(folder) not in words and process.environ().get("RAY_TMPDIR") != str(folder):
                continue
            process.kill()
            ended.append(process)
        except psutil.Error:
            continue
    psutil.wait_procs(ended, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)
    return len(ended)


def require_token(spare: Path) -> None:
    """Only who has the token may talk to Ray: its job port runs any code it is sent.

    The token is where Ray's own tools look for it, or in ``spare`` where there is no home folder.
    That Ray asks for it is its default for a cluster like this one; it need not say so each time.
    """
    logger = "ray._private.authentication.authentication_token_setup"
    logging.getLogger(logger).setLevel(logging.ERROR)
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    for path in (Path.home() / ".ray" / "auth_token", spare / "ray_token"):
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32))
            path.chmod(0o600)
        except OSError:
            continue
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
        return


def start_ray(
    folder: Path, data: Path, num_gpus: int | None = None, *, dashboard: bool = True
) -> str:
    """Start Ray's processes as children of this one; returns the dashboard's address, an empty
    text without ``dashboard``.

    ``num_gpus`` of None are those that Ray finds. A start that fails is tried once more: some of
    Ray's deadlines are fixed, and a busy machine misses them.
    """
    require_token(data)
    import ray

    # Ray puts handlers of its own in their place, which would end us without stopping anything.
    ours = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        try:
            context = _init_ray(folder, num_gpus, dashboard)
        except Exception as error:
            log.warning("ray_starts_again", error=f"{type(error).__name__}: {error}"[:300])
            ray.shutdown()
            sweep_leftovers(folder)
            context = _init_ray(folder, num_gpus, dashboard)
    finally:
        for name, handler in ours.items():
            signal.signal(name, handler)
    return f"http://{context.dashboard_url}" if dashboard else ""


def _init_ray(folder: Path, num_gpus: int | None, dashboard: bool) -> Any:
    import ray

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _own_ray_params():
        return ray.init(
            address="local",
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            num_gpus=num_gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
        )


@contextlib.contextmanager
def _own_ray_params() -> Iterator[None]:
    """Have ``ray.init``, which has no arguments for it, give its agents ``agent_ports``, and start
    no log monitor: that reads every log again and again to send its lines to a driver that does not
    want them (``log_to_driver``)."""
    from ray._private import parameter

    usual = parameter.RayParams

    class OwnRayParams(usual):
        def __init__(self, *args: Any, **given: Any) -> None:
            ours = {"include_log_monitor": False, **agent_ports()}
            super().__init__(*args, **given | ours)

    parameter.RayParams = OwnRayParams
    try:
        yield
    finally:
        parameter.RayParams = usual


def agent_ports() -> dict[str, int]:
    """Free ports, none twice, for the agents of a node, under the names that Ray has for them.

    A raylet waits fifteen seconds for each agent that chooses its port itself, then ends. Ray's
    job agent would always take 52365: that of a second Ray on the machine retries for half a minute
    and goes on without HTTP, and ``ray job submit`` is answered "No available agent" from then on.
    """
    ports: set[int] = set()
    while len(ports) < len(_AGENT_PORTS):
        ports.add(free_port())
    return dict(zip(_AGENT_PORTS, ports, strict=True))


def wait_until_jobs_are_taken(dashboard_url: str, seconds: float = 180) -> None:
    """Wait until ``ray job submit`` works: Ray's job agent comes up some time after the rest.

    Raises:
        RuntimeError: it does not take jobs within ``seconds``; the message has its last answer.
    """
    from ray.job_submission import JobSubmissionClient

    deadline = time.monotonic() + seconds
    while True:
        try:
            client = JobSubmissionClient(dashboard_url)
            # The agent itself refuses this one, before it keeps or starts anything.
            client.submit_job(entrypoint="true", entrypoint_label_selector={"refused": "in("})
        except (RuntimeError, ConnectionError) as error:
            answer = str(error)
        if "Invalid label selector" in answer:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"Ray takes no jobs after {seconds:.0f} s: {answer[-300:]}")
        time.sleep(0.2)


def deploy(
    port: int,
    rules: dict[str, float] | None = None,
    deployments: list[dict[str, Any]] | None = None,
    max_gpus: int | None = None,
    **changed: Any,
) -> None:
    """Deploy the config file's application on ``port`` and wait until it is healthy.

    ``changed`` are arguments of the application that differ from the file's, ``rules`` and
    ``max_gpus`` those of its autoscaling policy, ``deployments`` what single deployments have of
    their own. The file describes a cluster; this machine does not grow, and has GPUs or has none.
    A small one has fewer CPUs than the replicas would set aside; here they share what there is, one
    of each generator at most.

    Raises:
        RuntimeError: it did not come up; the message is Serve's.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions
    from ray.serve.context import _get_global_client
    from ray.serve.schema import LoggingConfig, ServeDeploySchema

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    # It waits a minute for the proxy at most; whether that answers is seen below.
    with contextlib.suppress(TimeoutError):
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port), logging_config=quiet)
    spec = application()
    args = spec["args"] = spec["args"] | _machine_args() | changed
    args["replica_cpus"] = changed.get("replica_cpus", _share_of_cpus(1 + len(args["generators"])))
    told = spec["autoscaling_policy"]["policy_kwargs"]
    told.update({name: args[name] for name in ("generators", "gpu", "shares", "replica_cpus")})
    told["max_gpus"], told["reserved_cpus"] = max_gpus, RESERVED_CPUS
    told["rules"] |= rules or {}
    spec["deployments"] = _own_bounds(args, deployments or [])
    config = {"applications": [spec | {"logging_config": quiet.model_dump()}]}
    # What `serve deploy` does through the dashboard: `serve.run` knows no application's policy.
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    _wait_until_running(spec["name"])
    _wait_until_answered(port)


def _machine_args() -> dict[str, Any]:
    """Arguments of the application on this machine, where they are not the file's."""
    import ray

    gpus = int(ray.cluster_resources().get("GPU", 0))
    managers = {"min_managers": 1, "max_managers": max(gpus, 1)}
    # A generator's replica holds no weights: it is kept, so that no first job waits for one.
    replicas = {"min_replicas": 1, "max_replicas": 1}
    return {"gpu": gpus > 0, "service_resources": {}, **managers, **replicas}


def _own_bounds(args: dict[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``given``, and the bounds of every deployment that scales.

    Serve replaces all replicas when another number of deployments has bounds of its own: all have
    them, so that neither ``atelier-admin scale`` nor a change of ``given`` restarts what it does
    not mean. Serve takes its own defaults for what an override leaves out.
    """
    bounds = dict.fromkeys(
        load_catalog(args["generators"]), (args["min_replicas"], args["max_replicas"])
    )
    bounds["gpu_manager"] = (args["min_managers"], args["max_managers"])
    found = {one["name"]: one for one in given}
    for name, (least, most) in bounds.items():
        own = found.get(name, {"name": name})
        scaling = {"min_replicas": least, "max_replicas": most}
        scaling |= {"upscale_delay_s": 0.0, "downscale_delay_s": 0.0}
        scaling |= own.get("autoscaling_config", {})
        scaling["max_replicas"] = max(scaling["min_replicas"], scaling["max_replicas"])
        found[name] = {**own, "autoscaling_config": scaling}
    return list(found.values())


def _wait_until_running(name: str, seconds: float = 600) -> None:
    from deployments.serve_details import DEPLOY_FAILED, RUNNING, application_details

    found = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = application_details(name)
        if found is not None and found.status == RUNNING:
            return
        if found is not None and found.status == DEPLOY_FAILED:
            raise RuntimeError(found.message)
        time.sleep(POLL_INTERVAL_S)
    waits = [
        f"{part}: {told.status}, {dict(told.replicas)}, {told.message}"
        for part, told in (found.deployments if found else {}).items()
        if told.status != "HEALTHY"
    ]
    raise RuntimeError("; ".join([f"{name} did not come up within {seconds:.0f} s", *waits]))


def _wait_until_answered(port: int, seconds: float = 240) -> None:
    """Serve calls an application running a moment before its proxy has heard of it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                return
        time.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"nothing answers on port {port} after {seconds:.0f} s")


def _share_of_cpus(replicas: int) -> float:
    """What Ray sets aside for each, so that all fit beside the ingress and the keeper."""
    import ray

    room = ray.cluster_resources().get("CPU", 1.0) - RESERVED_CPUS
    return float(min(0.5, round(room / replicas, 2) - 0.01))


def stop_ray() -> None:
    import ray
    from ray import serve

    if not ray.is_initialized():
        return
    # Ray reports on stdout that the controller it was told to end has ended.
    with contextlib.redirect_stdout(io.StringIO()):
        serve.shutdown()
        # A thread that happens to collect an object of Ray's while Ray goes down ends the process.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()
