"""Write ``serveConfigV2`` of ops/kuberay/base/rayservice.yaml from serve_config.yaml.

python -m scripts.kuberay            # writes it
python -m scripts.kuberay --check    # exits with 1 if it is behind

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
TARGET = ROOT / "ops" / "kuberay" / "base" / "rayservice.yaml"
# A resource that the pods of the group "service" have, one of each.
SERVICE_RESOURCE = "atelier_service"
ON_KUBERNETES: dict[str, Any] = {
    "ingress_replicas": 2,
    "service_resources": {SERVICE_RESOURCE: 0.1},
}
_FIELD = re.compile(r"^  serveConfigV2: \|\n(?:    .*\n|\n)*", re.M)


class _NoAliases(yaml.SafeDumper):
    """Writes a list that comes twice, twice: KubeRay compares the text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def serve_config() -> dict[str, Any]:
    """serve_config.yaml with what differs on Kubernetes."""
    config: dict[str, Any] = yaml.safe_load(SOURCE.read_text())
    config["proxy_location"] = "EveryNode"
    (application,) = config["applications"]
    application["args"] |= ON_KUBERNETES
    return config


def rendered(text: str) -> str:
    """``text`` of the RayService with its ``serveConfigV2`` written anew."""
    config = yaml.dump(serve_config(), Dumper=_NoAliases, sort_keys=False, width=96)
    lines = "".join(f"    {line}\n" for line in config.splitlines())
    written, found = _FIELD.subn(lambda _: f"  serveConfigV2: |\n{lines}", text)
    if found != 1:
        raise ValueError(f"{TARGET} has {found} fields serveConfigV2, and not one")
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description="Write serveConfigV2 from serve_config.yaml.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is behind")
    options = parser.parse_args()
    before = TARGET.read_text()
    after = rendered(before)
    if options.check and before != after:
        raise SystemExit(f"{TARGET.relative_to(ROOT)} is behind: python -m scripts.kuberay")
    if not options.check:
        TARGET.write_text(after)


if __name__ == "__main__":
    main()
