"""cluster.yaml and serve_config.yaml are what Ray accepts, checked with Ray's own schemas."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from deployments.catalog import load_catalog
from serve_app.app import AppArgs

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


def test_serve_config_yaml_is_accepted_by_serve_and_by_the_application() -> None:
    config = yaml.safe_load((CLUSTER.parent / "serve_config.yaml").read_text())
    schema = ServeDeploySchema.model_validate(config)
    assert schema.http_options.host == "127.0.0.1"
    (application,) = schema.applications
    args = AppArgs.model_validate(application.args)
    assert load_catalog(args.generators)


def test_an_argument_the_application_does_not_know_is_an_error() -> None:
    with pytest.raises(ValidationError, match="replicsa"):
        AppArgs.model_validate({"generators": ["deployments.generators.image"], "replicsa": 1})
