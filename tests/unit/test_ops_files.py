"""The image, the compose file and the unit of ops/, held against schemas and against what they must
agree with: Docker is not tried here."""

import json
import re
import shlex
import tomllib
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import compose_spec
import pytest
import structlog

from deployments.log_config import configure_logging
from tests.support.ops_files import OPS, ROOT, compose_config, documents

DOCKERFILE = OPS / "docker" / "Dockerfile"
YAMLS = sorted(path for path in OPS.rglob("*.y*ml") if path.relative_to(OPS).parts[0] != "secrets")


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(OPS)))
def test_every_yaml_file_parses(path: Path) -> None:
    assert documents(path)


def test_the_image_runs_as_a_user_from_a_pinned_base_without_secrets() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^USER (.+)$", text, re.M)[-1] == "${ATELIER_UID}"
    (python,) = re.findall(r"^ARG PYTHON=(.+)$", text, re.M)
    assert re.fullmatch(r"3\.11\.\d+-slim-bookworm", python)
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"python:${PYTHON}"}
    assert not re.search(r"(?i)^(ARG|ENV).*(secret|token|password|key)\w*=", text, re.M)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", "ops/secrets", "*.env", "**/*.env"} <= set(ignored)


def test_the_image_sets_what_a_node_sets() -> None:
    """KubeRay calls `ray start` by itself, without scripts/node."""
    function = re.search(
        r"ray_environment\(\) \{(.*?)\n\}", (ROOT / "scripts/node").read_text(), re.S
    )
    assert function is not None
    exported = dict(re.findall(r"(\w+)=(\S+)", function[1]))
    environment = re.search(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE.read_text(), re.M)
    assert environment is not None
    in_image = dict(word.split("=", 1) for word in shlex.split(environment[1].replace("\\\n", "")))
    for name, value in exported.items():
        assert in_image[name] == value.strip('"').replace("$PWD", "/opt/atelier"), name


def test_the_image_keeps_its_data_where_its_user_writes_and_a_volume_is_mounted() -> None:
    (data,) = re.findall(r"\bATELIER_DATA_DIR=(\S+)", DOCKERFILE.read_text())
    system = (OPS / "docker" / "system.sh").read_text()
    assert f"--home-dir {data} --create-home" in system, "it belongs to the user"
    assert f"VOLUME {data}\n" in DOCKERFILE.read_text()
    assert f"models:{data}" in compose_config()["services"]["app"]["volumes"]
    service = (OPS / "kuberay" / "base" / "rayservice.yaml").read_text()
    assert f"mountPath: {data}}}" in service


def test_the_compose_file_is_one() -> None:
    config = compose_config()
    compose = compose_spec.PyCompose.from_json(json.dumps(config))
    assert set(compose.service_names()) >= {"postgres", "valkey", "seaweedfs", "app", "nginx"}
    for broken in ({"imagee": "x"}, {"ports": "80"}):
        config["services"]["app"] |= broken
        with pytest.raises(ValueError):
            compose_spec.PyCompose.from_json(json.dumps(config))


def test_every_service_is_watched_kept_small_and_has_no_password_of_its_own() -> None:
    config = compose_config()
    for name, service in config["services"].items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped"
        assert "no-new-privileges:true" in service["security_opt"]
        assert re.search(r":.*\d", service["image"]), f"{name} has no version"
        for variable, value in service.get("environment", {}).items():
            if re.search(r"(?i)password|secret|token", variable):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"
        for one in service.get("secrets", []):
            assert (one if isinstance(one, str) else one["source"]) in config["secrets"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in config["volumes"], volume
    assert all(one["file"].startswith("./secrets/") for one in config["secrets"].values())


def test_only_tls_is_open_to_others() -> None:
    config = compose_config()
    ports = {name: service.get("ports", []) for name, service in config["services"].items()}
    open_to_all = {
        name for name, ports in ports.items() if any("127.0.0.1" not in p for p in ports)
    }
    assert open_to_all == {"nginx"}
    assert config["networks"]["stores"]["internal"]
    for store in ("postgres", "valkey", "mongodb"):
        assert config["services"][store]["networks"] == ["stores"]


def test_nginx_in_compose_has_every_file_that_it_includes() -> None:
    nginx = compose_config()["services"]["nginx"]
    there = {one["target"] for one in nginx["configs"]}
    there |= {one.split(":")[1] for one in nginx["volumes"]}
    wanted = {f"/etc/nginx/atelier/{path.name}" for path in (OPS / "nginx/atelier").iterdir()}
    assert wanted <= there
    for volume in nginx["volumes"]:
        source = volume.split(":")[0]
        assert not source.startswith("./") or (OPS / source).is_file(), source


def test_vector_and_loki_fit_together_and_beside_the_service() -> None:
    (vector,), (loki,) = documents(OPS / "vector/vector.yaml"), documents(OPS / "loki/loki.yml")
    config = compose_config()
    parts = vector["sources"] | vector["transforms"] | vector["sinks"]
    for part in (vector["transforms"] | vector["sinks"]).values():
        assert set(part["inputs"]) <= set(parts)
    address = urlsplit(vector["sinks"]["loki"]["endpoint"])
    assert address.hostname in config["services"]
    assert address.port == loki["server"]["http_listen_port"]
    mounted = {
        volume.split(":")[1]
        for name in ("vector", "loki")
        for volume in config["services"][name]["volumes"]
    }
    assert {vector["data_dir"], loki["common"]["path_prefix"], "/tmp/ray"} <= mounted
    assert "ray:/tmp/ray" in config["services"]["app"]["volumes"]


def test_vector_reads_the_files_and_the_fields_that_the_log_has(
    capfd: pytest.CaptureFixture[str],
) -> None:
    (vector,) = documents(OPS / "vector/vector.yaml")
    ray = vector["sources"]["ray"]
    logs = "/tmp/ray/session_2027-01-31_12-00-00_000000_1/logs/"
    for name in ("worker-0a1b-01000000-4711.err", "worker-0a1b-01000000-4711.err.1"):
        assert any(fnmatch(logs + name, pattern) for pattern in ray["include"])
        assert not any(fnmatch(logs + name, pattern) for pattern in ray["exclude"])
    assert any(fnmatch("/tmp/ray/session_latest/logs/w.err", one) for one in ray["exclude"])
    # The first line of each is ":job_id:01000000", so that they are not told apart by it.
    assert ray["fingerprint"]["strategy"] == "device_and_inode"
    configure_logging()
    structlog.get_logger().info("job_started", job_id="job_1")
    line = json.loads(capfd.readouterr().err)
    assert line["job_id"] == "job_1"
    fields = set(re.findall(r"entry\.(\w+)", vector["transforms"]["lines"]["source"]))
    assert fields == {"timestamp", "level"} and fields <= set(line)
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_the_unit_is_one_that_systemd_takes() -> None:
    """Sections and directives; the paths in it are those of docs/deploy.md."""
    text = (OPS / "systemd" / "atelier.service").read_text()
    settings = dict(
        line.split("=", 1) for line in text.splitlines() if re.match(r"^[A-Z]\w+=", line)
    )
    assert settings["User"] == "atelier"
    assert settings["NoNewPrivileges"] == "yes"
    guide = (ROOT / "docs" / "deploy.md").read_text()
    assert settings["WorkingDirectory"] in guide
    command = Path(settings["ExecStart"]).relative_to(settings["WorkingDirectory"])
    assert (ROOT / command).stat().st_mode & 0o111
    # systemd waits longer than the command does for what runs.
    waits = dict(re.findall(r"(\w+)=(\d+)\b", settings["Environment"]))
    assert int(waits["ATELIER_STOP_S"]) < 60 * int(settings["TimeoutStopSec"].removesuffix("min"))


def test_what_is_copied_into_the_image_is_there() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.M):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name


def test_the_image_makes_a_file_in_each_package_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    loop = re.search(r"^for package in (.+); do$", (OPS / "docker/install.sh").read_text(), re.M)
    assert loop is not None
    assert loop[1].split() == packages


# What a command of a guide makes, or its reader brings.
MADE = re.compile(r"^ops/(secrets|\.env|kuberay/overlays/production)\b")
GUIDES = [ROOT / "docs" / "deploy.md", *sorted(OPS.rglob("*.md"))]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_in_the_commands_of_a_guide_are_there(guide: Path) -> None:
    commands = re.findall(r"^```bash\n(.*?)^```", guide.read_text(), re.S | re.M)
    named = {path for text in commands for path in re.findall(r"\b(?:ops|scripts)/[\w./*-]+", text)}
    missing = [path for path in named if not MADE.match(path) and not any(ROOT.glob(path))]
    assert missing == []


def test_the_guide_says_the_limits_that_nginx_has() -> None:
    text = (OPS / "nginx" / "atelier.conf").read_text()
    guide = (ROOT / "docs" / "deploy.md").read_text()
    rates = dict(re.findall(r"zone=atelier_(\w+):\d+m rate=(\d+)r/s", text))
    (most_open,) = re.findall(r"limit_conn atelier_open (\d+);", text)
    assert f"{rates['address']} requests a second, {most_open} open at a time" in guide
    assert f"{rates['login']} log-ins a second; a key: {rates['key']} requests a second" in guide
