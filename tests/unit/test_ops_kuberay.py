"""The manifests of ops/kuberay, held against Kubernetes' schemas, Ray's own reading of them, and
serve_config.yaml: no cluster is tried here."""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.autoscaler._private.util import validate_config
from ray.serve.schema import ServeDeploySchema

from scripts.kuberay import SERVICE_RESOURCE, prometheus_rules, rendered, serve_config
from serve_app.app import AppArgs
from tests.support.ops_files import OPS, ROOT, documents
from tests.support.rules import rules

KUBERAY = OPS / "kuberay"
KUBERNETES_VERSION = "1.34.0"
# Kinds for which there are no schemas.
CUSTOM_GROUPS = (
    "ray.io", "monitoring.coreos.com", "external-secrets.io", "gateway.networking.k8s.io",
    "kustomize.config.k8s.io",
)  # fmt: skip


def manifests(kind: str | None = None) -> Iterator[dict[str, Any]]:
    """The objects of ops/kuberay."""
    for path in sorted(KUBERAY.rglob("*.yaml")):
        for one in documents(path):
            if "apiVersion" in one and kind in (None, one["kind"]):
                yield one


def pods(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod templates of a RayService, by group."""
    cluster = service["spec"]["rayClusterConfig"]
    groups = {one["groupName"]: one for one in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"], **groups}


@pytest.fixture
def ray_service() -> dict[str, Any]:
    (service,) = manifests("RayService")
    return service


def test_kubernetes_own_kinds_are_valid() -> None:
    seen = set()
    for manifest in manifests():
        if manifest["apiVersion"].split("/")[0] not in CUSTOM_GROUPS:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
            seen.add(manifest["kind"])
    assert seen >= {"Namespace", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget"}


def test_pods_of_the_ray_service_are_valid_and_restricted(ray_service: dict[str, Any]) -> None:
    for group, spec in pods(ray_service).items():
        template = spec["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": group, **template.get("metadata", {})},
            "spec": template["spec"],
        }
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)
        assert template["spec"]["securityContext"]["runAsNonRoot"]
        assert template["spec"]["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for one in [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]:
            assert not one["securityContext"]["allowPrivilegeEscalation"]
            assert one["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert one["resources"]["limits"]["memory"]


def test_the_autoscaler_reads_the_groups_as_they_are_meant(ray_service: dict[str, Any]) -> None:
    """Ray's own reading of the custom resource, as its autoscaler does it on the head."""
    cluster = {
        "metadata": {"name": "atelier", "namespace": "atelier"},
        "spec": ray_service["spec"]["rayClusterConfig"],
    }
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    validate_config(config)
    groups = config["available_node_types"]
    assert groups["headgroup"]["resources"]["CPU"] == 0
    assert groups["service"]["resources"][SERVICE_RESOURCE] == 1
    assert groups["gpu-reserved"]["resources"]["GPU"] == 1
    assert groups["gpu-reserved"]["priority"] > groups["gpu-spot"]["priority"]
    of_machines = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    for ours, theirs in (("gpu-reserved", "gpu_reserved"), ("gpu-spot", "gpu_spot")):
        for bound in ("min_workers", "max_workers"):
            assert groups[ours][bound] == of_machines[theirs][bound]
    told = serve_config()["applications"][0]["autoscaling_policy"]["policy_kwargs"]
    gpus = sum(one["max_workers"] * one["resources"].get("GPU", 0) for one in groups.values())
    assert told["max_gpus"] == gpus


def test_what_kuberay_deploys_is_serve_config_yaml(ray_service: dict[str, Any]) -> None:
    text = (KUBERAY / "base" / "rayservice.yaml").read_text()
    assert rendered(text) == text, "python -m scripts.kuberay"
    config = yaml.safe_load(ray_service["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(config)
    args = AppArgs.model_validate(schema.applications[0].args)
    assert args.service_resources == {SERVICE_RESOURCE: 0.1}
    groups = pods(ray_service)
    assert args.ingress_replicas == groups["service"]["minReplicas"]
    with pytest.raises(ValueError, match="0 fields"):
        rendered("spec: {}\n")


def test_the_operator_gets_the_rules_that_prometheus_has() -> None:
    written = (KUBERAY / "base" / "prometheus_rules.yaml").read_text()
    assert prometheus_rules() == written, "python -m scripts.kuberay"
    (manifest,) = manifests("PrometheusRule")
    found = [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]
    assert found == list(rules())


def test_rays_version_is_the_one_that_is_installed(ray_service: dict[str, Any]) -> None:
    (pinned,) = re.findall(
        r"^ray==(\S+)$", (ROOT / "requirements/constraints.txt").read_text(), re.M
    )
    assert ray_service["spec"]["rayClusterConfig"]["rayVersion"] == pinned


def test_no_manifest_holds_a_secret() -> None:
    assert list(manifests("Secret")) == []
    named = {
        source["secretRef"]["name"]
        for manifest in manifests("RayService")
        for spec in pods(manifest).values()
        for container in spec["template"]["spec"]["containers"]
        for source in container["envFrom"]
        if "secretRef" in source
    }
    made = {one["spec"]["target"]["name"] for one in manifests("ExternalSecret")}
    assert named <= made


def test_kustomize_finds_its_files() -> None:
    for path in KUBERAY.rglob("kustomization.yaml"):
        (config,) = documents(path)
        listed = [*config["resources"], *config.get("configurations", [])]
        assert [name for name in listed if not (path.parent / name).exists()] == []
        here = {one.name for one in path.parent.glob("*.yaml")} - {path.name}
        assert here == {name for name in listed if name.endswith(".yaml")}
