"""Write what the manifests of ops/kuberay have from elsewhere: ``serveConfigV2`` of
base/rayservice.yaml from serve_config.yaml, base/prometheus_rules.yaml from ops/prometheus.

python -m scripts.kuberay            # writes both
python -m scripts.kuberay --check    # exits with 1 if one is behind

What differs on Kubernetes is ``ON_KUBERNETES``: the head runs no work, so that the API and the
maintenance tasks run on the pods of the group ``service``, and each of those has a proxy.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "serve_config.yaml"
BASE = ROOT / "ops" / "kuberay" / "base"
RAY_SERVICE = BASE / "rayservice.yaml"
PROMETHEUS_RULES = BASE / "prometheus_rules.yaml"
RULES = tuple(ROOT / "ops" / "prometheus" / name for name in ("alerts.yml", "slo.yml"))
_RULES_COMMENT = """\
# For the Prometheus operator. Written by scripts/kuberay.py from ops/prometheus: change it there.
"""
# A resource that the pods of the group "service" have, one of each.
SERVICE_RESOURCE = "atelier_service"
ON_KUBERNETES: dict[str, Any] = {
    "ingress_replicas": 2,
    "service_resources": {SERVICE_RESOURCE: 0.1},
}
_FIELD = re.compile(r"^  serveConfigV2: \|\n(?:    .*\n|\n)*", re.M)


class _Dumper(yaml.SafeDumper):
    """Writes a list that comes twice, twice (KubeRay compares the text), and lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def serve_config() -> dict[str, Any]:
    """serve_config.yaml with what differs on Kubernetes."""
    config: dict[str, Any] = yaml.safe_load(SOURCE.read_text())
    config["proxy_location"] = "EveryNode"
    (application,) = config["applications"]
    application["args"] |= ON_KUBERNETES
    return config


def rendered(text: str) -> str:
    """``text`` of the RayService with its ``serveConfigV2`` written anew."""
    config = yaml.dump(serve_config(), Dumper=_Dumper, sort_keys=False, width=96)
    lines = "".join(f"    {line}\n" for line in config.splitlines())
    written, found = _FIELD.subn(lambda _: f"  serveConfigV2: |\n{lines}", text)
    if found != 1:
        raise ValueError(f"{RAY_SERVICE} has {found} fields serveConfigV2, and not one")
    return written


def prometheus_rules() -> str:
    """A PrometheusRule with the groups of ops/prometheus, as YAML."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "atelier"},
        "spec": {"groups": groups},
    }
    text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=96, allow_unicode=True)
    return _RULES_COMMENT + text


def main() -> None:
    parser = argparse.ArgumentParser(description="Write what manifests have from other files.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is behind")
    options = parser.parse_args()
    files = {RAY_SERVICE: rendered(RAY_SERVICE.read_text()), PROMETHEUS_RULES: prometheus_rules()}
    for path, text in files.items():
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            raise SystemExit(f"{path.relative_to(ROOT)} is behind: python -m scripts.kuberay")


if __name__ == "__main__":
    main()
