"""Terraform and the bucket's rules, held against the service's keys: no cloud is tried here."""

import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
from minio.lifecycleconfig import LifecycleConfig

from db import object_store
from db.object_store import ObjectStore
from tests.support.ops_files import OPS

TERRAFORM = sorted((OPS / "terraform").rglob("*.tf"))


@pytest.mark.parametrize("path", TERRAFORM, ids=lambda path: str(path.relative_to(OPS)))
def test_terraform_parses(path: Path) -> None:
    assert load(path)


def load(path: Path) -> dict[str, Any]:
    with path.open() as file:
        found: dict[str, Any] = hcl2.load(file)
    return found


def bare(value: str) -> str:
    return value.strip('"')


def declared(folder: Path, kind: str) -> set[str]:
    """Names of the variables or outputs of a module."""
    return {
        bare(name)
        for path in folder.glob("*.tf")
        for block in load(path).get(kind, [])
        for name in block
        if not name.startswith("__")
    }


def test_modules_are_called_with_what_they_take_and_give_what_is_read() -> None:
    """What `terraform validate` would say first."""
    folder = OPS / "terraform"
    text = "".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    modules = {}
    for block in load(folder / "main.tf")["module"]:
        for name, arguments in block.items():
            source = folder / bare(arguments["source"])
            modules[bare(name)] = source
            given = {key for key in arguments if key != "source" and not key.startswith("__")}
            assert given == declared(source, "variable"), name
    for module, output in re.findall(r"module\.(\w+)\.(\w+)", text):
        assert output in declared(modules[module], "output"), f"{module}.{output}"
    for name in re.findall(r"var\.(\w+)", text):
        assert name in declared(folder, "variable")


def test_what_aws_keeps_is_encrypted_and_private() -> None:
    modules = OPS / "terraform" / "modules"
    for module, wanted in {
        "database": [
            "storage_encrypted     = true",
            "publicly_accessible    = false",
            "deletion_protection",
        ],
        "cache": ["at_rest_encryption_enabled = true", "transit_encryption_enabled = true"],
        "bucket": ["restrict_public_buckets = true", "sse_algorithm", "aws:SecureTransport"],
        "kubernetes": ['http_tokens                 = "required"', "encrypted   = true"],
    }.items():
        text = (modules / module / "main.tf").read_text()
        assert [one for one in wanted if one not in text] == []
        assert "0.0.0.0/0" not in text


class _Bucket:
    """Takes the rules that the service sets."""

    def set_bucket_lifecycle(self, bucket: str, config: LifecycleConfig) -> None:
        self.config = config


def service_rules() -> dict[str, dict[str, Any]]:
    """The rules that db/object_store.py sets, as S3's JSON says them."""
    taken: Any = _Bucket()
    ObjectStore(taken, taken, taken, "atelier")._set_lifecycle()
    rules = {}
    for rule in taken.config.rules:
        one: dict[str, Any] = {"Status": "Enabled", "Filter": {"Prefix": rule.rule_filter.prefix}}
        if rule.expiration:
            one["Expiration"] = {"Days": rule.expiration.days}
        old = rule.noncurrent_version_expiration
        if old:
            one["NoncurrentVersionExpiration"] = {"NoncurrentDays": old.noncurrent_days}
        parts = rule.abort_incomplete_multipart_upload
        if parts:
            days = {"DaysAfterInitiation": parts.days_after_initiation}
            one["AbortIncompleteMultipartUpload"] = days
        rules[rule.rule_id] = one
    return rules


def test_the_lifecycle_document_is_what_the_service_sets_and_tiers_for_its_keys() -> None:
    document = json.loads((OPS / "s3" / "lifecycle.json").read_text())
    rules = {one.pop("ID"): one for one in document["Rules"]}
    ours = service_rules()
    assert {name: rules[name] for name in ours} == ours
    keys = (
        object_store.input_key("usr", "job", "a.png"),
        object_store.output_key("usr", "job", 1, "a.png"),
        object_store.reference_key("usr", "a.png"),
        object_store.temp_key("job", "a.png"),
    )
    prefixes = {key.split("/")[0] + "/" for key in keys}
    assert {one["Filter"]["Prefix"] for one in rules.values()} <= prefixes | {""}
    # People's pictures and what they uploaded leave when their owner says so.
    expire = {one["Filter"]["Prefix"] for one in rules.values() if "Expiration" in one}
    assert expire == {"temp/"}


def test_terraform_has_the_same_rules_and_lets_the_service_at_its_keys_alone() -> None:
    text = (OPS / "terraform/modules/bucket/main.tf").read_text()
    document = json.loads((OPS / "s3" / "lifecycle.json").read_text())
    ids = re.findall(r'^    id     = "(.+)"$', text, re.M)
    assert ids == [one["ID"] for one in document["Rules"]]
    prefixes = re.search(r"for prefix in (\[.*?\])", text)
    assert prefixes is not None
    assert set(json.loads(prefixes[1])) == {"inputs", "outputs", "references", "temp"}
