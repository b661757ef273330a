"""cluster.yaml is what Ray's launcher accepts, checked with Ray's own schema."""

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"


def test_cluster_yaml_is_accepted_by_rays_schema() -> None:
    config = prepare_config(yaml.safe_load(CLUSTER.read_text()))
    validate_config(config)


def test_the_head_offers_no_gpu_and_both_gpu_groups_grow_and_shrink() -> None:
    nodes = yaml.safe_load(CLUSTER.read_text())["available_node_types"]
    assert nodes["head"]["resources"]["GPU"] == 0
    assert nodes["gpu_reserved"]["min_workers"] >= 1
    assert nodes["gpu_spot"]["min_workers"] == 0
    assert nodes["gpu_spot"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
