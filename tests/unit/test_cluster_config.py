"""cluster.yaml and serve_config.yaml are what Ray accepts, checked with Ray's own schemas."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from deployments.autoscaling.packing import EPSILON
from deployments.autoscaling.policy import QueueDepthPolicy
from deployments.catalog import load_catalog
from deployments.gpu_manager.names import GPU_SHARE
from serve_app.app import AppArgs, build

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"


def read(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def test_cluster_yaml_is_accepted_by_rays_schema() -> None:
    config = prepare_config(yaml.safe_load(CLUSTER.read_text()))
    validate_config(config)


def test_the_head_offers_no_gpu_and_both_gpu_groups_grow_and_shrink() -> None:
    nodes = yaml.safe_load(CLUSTER.read_text())["available_node_types"]
    assert nodes["head"]["resources"]["GPU"] == 0
    assert nodes["gpu_reserved"]["min_workers"] >= 1
    assert nodes["gpu_spot"]["min_workers"] == 0
    assert nodes["gpu_spot"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_serve_config_yaml_is_accepted_by_serve_and_by_the_application() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    schema = ServeDeploySchema.model_validate(config)
    (application,) = schema.applications
    args = AppArgs.model_validate(application.args)
    assert load_catalog(args.generators)


def test_the_policy_is_told_what_the_application_is_told() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    (application,) = config["applications"]
    told = application["autoscaling_policy"]["policy_kwargs"]
    QueueDepthPolicy(**told)
    for name in ("generators", "gpu", "shares", "replica_cpus"):
        assert told[name] == application["args"][name]


def test_a_minimum_that_could_take_a_managers_place_is_refused() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    args = AppArgs.model_validate(config["applications"][0]["args"])
    assert build(args.model_copy(update={"min_replicas": 2}))
    with pytest.raises(ValueError, match=r"3 of each generator claim 0\.72 of a GPU, and 0\.48"):
        build(args.model_copy(update={"min_replicas": 3}))
    assert build(args.model_copy(update={"min_replicas": 3, "gpu": False}))


def test_all_generators_and_a_manager_fit_one_card() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    args = config["applications"][0]["args"]
    catalog = load_catalog(args["generators"])
    claims = [args["shares"].get(name, spec.num_gpus) for name, spec in catalog.items()]
    assert min(claims) > 0
    assert GPU_SHARE > 0.5, "no two managers on one card"
    assert GPU_SHARE + sum(claims) <= 1 + EPSILON


def test_reserved_nodes_are_started_before_spot_ones_and_all_of_them_are_max_gpus() -> None:
    """Ray grants none of a request that is more than its groups may grow to."""
    nodes = yaml.safe_load(CLUSTER.read_text())
    groups = nodes["available_node_types"]
    assert groups["gpu_reserved"]["priority"] > groups["gpu_spot"]["priority"]
    allowed = sum(one.get("max_workers", 0) * one["resources"]["GPU"] for one in groups.values())
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    told = config["applications"][0]["autoscaling_policy"]["policy_kwargs"]
    assert told["max_gpus"] == allowed
    assert nodes["max_workers"] >= sum(one.get("max_workers", 0) for one in groups.values())


def test_a_node_installs_what_all_generators_need() -> None:
    """Lessons need a typesetter, and narrations voices."""
    project = tomllib.loads((CLUSTER.parent / "pyproject.toml").read_text())["project"]
    (line,) = re.findall(r"^EXTRAS=(.+)$", (CLUSTER.parent / "scripts/node").read_text(), re.M)
    assert set(line.split(",")) == {"speech", "study", "voice"}
    assert set(line.split(",")) <= set(project["optional-dependencies"])
    assert "cd /home/ubuntu/atelier && ./scripts/node setup" in read(CLUSTER)["setup_commands"]


def test_an_ingress_on_another_node_than_the_proxy_is_reached() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    assert config["http_options"]["host"] == "0.0.0.0"


def test_an_argument_the_application_does_not_know_is_an_error() -> None:
    with pytest.raises(ValidationError, match="replicsa"):
        AppArgs.model_validate({"generators": ["deployments.generators.image"], "replicsa": 1})
