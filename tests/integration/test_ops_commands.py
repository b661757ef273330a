"""Commands and checkers of ops/: hadolint, systemd's own, and the shell scripts of the image."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.dev.environment import PATIENCE
from scripts.env_file import read_settings
from serve_app.settings import AuthSettings, LimitSettings
from tests.support.ops_files import OPS, compose_config
from tests.support.waiting import eventually

DOCKERFILE = OPS / "docker" / "Dockerfile"
SCRIPTS = sorted((OPS / "docker").glob("*.sh"))


def hadolint(text: str) -> list[str]:
    """The codes of what it finds."""
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [program, "--format", "json", "-"], input=text, capture_output=True, text=True, check=False
    )
    return [one["code"] for one in json.loads(done.stdout)]


def test_the_dockerfile_has_nothing_that_hadolint_finds() -> None:
    text = DOCKERFILE.read_text()
    assert hadolint(text) == []
    assert "DL3002" in hadolint(text.replace("USER ${ATELIER_UID}", "USER root"))


def test_the_image_of_a_checkout_that_only_its_owner_reads_can_be_read_by_its_user(
    tmp_path: Path,
) -> None:
    stages = re.findall(
        r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE.read_text(), re.M | re.S
    )
    copied = [name for name, steps in stages if re.search(r"^COPY \. ", steps, re.M)]
    assert copied == ["code"], "the whole checkout, with the modes that it has"
    assert "COPY --from=code /opt/atelier .\n" in dict(stages)["runtime"]
    (command,) = re.findall(r"^COPY \. \.\nRUN (.+)$", dict(stages)["code"], re.M)
    package = tmp_path / "package"
    package.mkdir()
    for name, mode in {"run.sh": 0o700, "module.py": 0o600}.items():
        (package / name).touch()
        (package / name).chmod(mode)  # as under umask 077
    for folder in (package, tmp_path):
        folder.chmod(0o700)
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"package": 0o755, "run.sh": 0o755, "module.py": 0o644}
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_parses_and_can_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_new_secrets_are_what_the_service_reads(tmp_path: Path) -> None:
    command = [OPS / "docker/new-secrets.sh", "a.example.org", "f.example.org", tmp_path]
    said = [
        subprocess.run(
            command,
            env={**os.environ, "ATELIER_GPU": "false"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert "made" in said[0] and "made" not in said[1], "what is there stays"
    settings = read_settings(tmp_path / "atelier.env")
    password = (tmp_path / "postgres_password").read_text()
    assert len(password) == 48
    assert settings["DATABASE_URL"] == f"postgresql://atelier:{password}@postgres:5432/atelier"
    assert settings["S3_PUBLIC_ENDPOINT"] == "https://f.example.org"
    assert settings["ATELIER_PROFILE"] == "tiny", "there is no card"
    assert (tmp_path / "redis_password").read_text() in (tmp_path / "valkey.conf").read_text()
    keys = json.loads((tmp_path / "seaweedfs_s3.json").read_text())["identities"][0]["credentials"]
    assert keys[0]["secretKey"] == settings["S3_SECRET_KEY"]
    nginx = (tmp_path / "nginx_atelier.conf").read_text()
    assert "server_name a.example.org;" in nginx and "/var/log" not in nginx
    served = yaml.safe_load((tmp_path / "serve_config.yaml").read_text())["applications"][0]
    assert "max_gpus" not in served["autoscaling_policy"]["policy_kwargs"]
    assert served["args"]["gpu"] is False
    AuthSettings(JWT_SECRET=settings["JWT_SECRET"])
    limits = LimitSettings(
        TRUSTED_PROXIES=settings["TRUSTED_PROXIES"], HTTPS_ONLY=settings["HTTPS_ONLY"]
    )
    networks = compose_config()["networks"]
    (front,) = networks["front"]["ipam"]["config"]
    assert [str(one) for one in limits.trusted_proxies] == [front["subnet"]]
    made = {path.name for path in tmp_path.iterdir()}
    config = compose_config()
    files = [one.get("file", "") for one in (config["secrets"] | config["configs"]).values()]
    secrets = {Path(one).name for one in files if one.startswith("./secrets/")}
    yours = {"tls.crt", "tls.key", "mongodb_password"}
    if not (OPS / "prometheus" / "prometheus.yml").exists():
        yours.add("prometheus.yml")
    assert secrets - made == yours
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_knows_the_unit(tmp_path: Path) -> None:
    """But for the program, which is where the service is installed."""
    text = (OPS / "systemd" / "atelier.service").read_text()
    unit = tmp_path / "atelier.service"
    unit.write_text(re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", text, flags=re.M))
    assert verify(unit) == []
    unit.write_text(text.replace("ProtectSystem=strict", "ProtectSystm=strict"))
    assert any("ProtectSystm" in line for line in verify(unit))


def verify(unit: Path) -> list[str]:
    """What systemd says of a unit and not of others that it needs."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    return [line for line in done.stderr.splitlines() if unit.name in line]


NODE = """#!/usr/bin/env bash
echo "$*" >> calls
case "$*" in
  head*) echo $$ > head.pid; [ "$DEPLOYED" = "no head" ] || exec sleep 600 ;;
  deploy*)
    until [ -e head.pid ]; do sleep 0.05; done
    [ "$DEPLOYED" != "no head" ] || exec sleep 600
    exit "$DEPLOYED" ;;
  "exec ray stop"*) [ "$DEPLOYED" = "no head" ] || kill "$(cat head.pid)" ;;
esac
"""


def serving(folder: Path, deployed: object) -> subprocess.Popen[bytes]:
    """serve.sh over a node that writes down what it is told, and does as if."""
    (folder / "ops" / "docker").mkdir(parents=True)
    (folder / "scripts").mkdir()
    shutil.copy(OPS / "docker" / "serve.sh", folder / "ops" / "docker")
    node = folder / "scripts" / "node"
    node.write_text(NODE)
    node.chmod(0o755)
    environment = {**os.environ, "DEPLOYED": str(deployed), "ATELIER_SERVE_CONFIG": "mine.yaml"}
    return subprocess.Popen([folder / "ops" / "docker" / "serve.sh"], env=environment)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_the_container_serves_until_it_is_told_to_stop_and_then_finishes(tmp_path: Path) -> None:
    process = serving(tmp_path, deployed=0)
    eventually(lambda: (len(calls(tmp_path)) == 2 and (tmp_path / "head.pid").exists()) or None)
    assert process.poll() is None
    process.terminate()
    assert process.wait(120) == 0
    begun, ended = calls(tmp_path)[:2], calls(tmp_path)[2:]
    assert {one.split()[0] for one in begun} == {"head", "deploy"}
    assert "deploy mine.yaml" in begun
    assert ended == ["exec serve shutdown --yes", "exec ray stop --grace-period 20"]


def test_a_container_that_cannot_deploy_ends(tmp_path: Path) -> None:
    """And says so: the runtime starts it anew."""
    process = serving(tmp_path, deployed=1)
    assert process.wait(120) == 1
    assert calls(tmp_path)[-1] == "exec ray stop"


def test_a_container_whose_head_ended_does_not_try_on(tmp_path: Path) -> None:
    process = serving(tmp_path, deployed="no head")
    assert process.wait(120) == 1
    assert calls(tmp_path)[-1] == "exec ray stop"


@pytest.mark.parametrize(
    ("said", "tries"),
    [
        ("Failed to connect to Ray at address: ...", 3),
        ("Request failed with status code 500: HAProxy crashed", 3),
        ("requests.exceptions.HTTPError: 503 Server Error: for url: ...", 3),
        ("Request failed with status code 400: no such module", 1),
    ],
)
def test_a_deployment_waits_for_ray_alone(said: str, tries: int, tmp_path: Path) -> None:
    """Not for a mistake in the file, which it says at once, and once."""
    (tmp_path / "scripts").mkdir()
    node = tmp_path / "scripts" / "node"
    shutil.copy(Path("scripts/node"), node)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"""#!/usr/bin/env bash
[ "$4" = serve ] || exit 0
echo "$*" >> calls
[ "$(wc -l < calls)" = 3 ] && exit 0
echo "{said}"; exit 1
""")
    python.chmod(0o755)
    done = subprocess.run([node, "deploy"], capture_output=True, text=True, check=False)
    assert len(calls(tmp_path)) == tries
    if tries == 3:
        assert (done.returncode, done.stderr) == (0, f"{said}; trying again\n" * 2)
    else:
        assert (done.returncode, done.stderr) == (1, f"{said}\n")


@pytest.mark.parametrize("file", ["scripts/node", "ops/docker/Dockerfile"])
def test_ray_is_as_patient_in_production_as_in_a_run(file: str) -> None:
    text = Path(file).read_text()
    assert dict(re.findall(r"(RAY_\w+)=([\d.]+)\b", text)).items() >= PATIENCE.items()
