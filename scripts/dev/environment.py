"""The environment Ray and every replica inherit; it must be there before Ray starts."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path

from db.embedded.state import port_is_free
from scripts.dev.ports import PortClaims

# Ports of single replicas of the ingress: above those of free_port, below those that the system
# hands out for connections of its own.
INGRESS_PORTS = range(30_000, 32_700)
INGRESS_PORTS_EACH = 100


# A slow or busy machine starts all of it, late: these deadlines only end a hang. A proxy that needs
# longer than Serve's five seconds to start is given up and starts anew, again and again.
# scripts/node and the image set the same.
PATIENCE = {
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
    # Serve's controller looks ten times a second by default: a tenth of a core in an idle service.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
    # And each of its processes tells its metrics as often; Prometheus reads them every 15 s.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
}


def ray_environment(folder: Path, claims: PortClaims) -> dict[str, str]:
    """Ray Serve's fast way in, and every file and port of it apart from another cluster's.

    ``folder`` is the cluster's own; ``claims`` keep its ports. Measured: HAProxy before the
    ingress makes it several times faster than Serve's proxy in Python.
    """
    ingress = _ingress_ports(claims)
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **PATIENCE,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).parents[1] / "lib" / "haproxy"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(claims.free_port()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        # HAProxy's sockets may have 97 letters in their path, 57 of which Serve adds.
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "ha"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "hm"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy.state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(claims.free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(claims.free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(claims.free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ingress.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ingress[-1]),
        # No load balancer stands before this proxy that would have to notice a stop first.
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }


def _ingress_ports(claims: PortClaims) -> range:
    """Ports that no other cluster's ingress uses.

    Where two clusters share a range, a replica of one may take the port of a killed replica of the
    other, whose HAProxy then sends it a stranger's calls until it notices.
    """
    starts = list(INGRESS_PORTS[::INGRESS_PORTS_EACH])
    random.shuffle(starts)
    ranges = [range(start, start + INGRESS_PORTS_EACH) for start in starts]
    # The first port of a range stands for all of it.
    free = (one for one in ranges if claims.claim(one.start) and all(map(port_is_free, one)))
    return next(free, ranges[0])


def atelier_environment(
    root: Path, jwt_secret: str, profile: str, given: Mapping[str, str]
) -> dict[str, str]:
    """What the application itself reads, under whatever ``given`` already says.

    ``profile`` is the one that was chosen, and stands above what ``given`` says.
    """
    defaults = {
        "JWT_SECRET": jwt_secret,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "DIFFUSERS_VERBOSITY": "error",
    }
    found = {name: given.get(name) or value for name, value in defaults.items()}
    found["ATELIER_PROFILE"] = profile
    # Jobs that are submitted to Ray say "python", and mean the one with the packages.
    found["PATH"] = f"{Path(sys.executable).parent}:{given.get('PATH', os.defpath)}"
    above = given.get("PYTHONPATH")
    # First, so that no other package called "models" or "db" comes before ours.
    found["PYTHONPATH"] = f"{root}:{above}" if above else str(root)
    return found
