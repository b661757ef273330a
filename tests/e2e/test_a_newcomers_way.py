"""``./scripts/run`` as a stranger meets it: the README's lines, killed servers, a killed run.

One run for the whole module; the tests follow each other and end with its end.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from atelier_admin.local_run import ray_folder
from atelier_client import Client
from atelier_client.command.screen import Screen
from models.tiny.checker import read_shape
from scripts import gallery
from tests.support.application import replicas_below
from tests.support.images_alike import assert_as_in_the_gallery
from tests.support.leaks import leaks, secrets_of
from tests.support.local_run import PROMPT, ROOT, Run, environment
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    # Not pytest's folder, whose parents Postgres' account could not pass through.
    home = Path(tempfile.mkdtemp(prefix="atl-e2e-", dir="/tmp"))
    home.chmod(0o711)
    started = Run(home)
    try:
        started.start()
        started.wait_until_up()
        yield started
    finally:
        if started.process is not None and started.process.poll() is None:
            started.process.send_signal(signal.SIGINT)
            started.process.wait(240)
        shutil.rmtree(home, ignore_errors=True)


def readme_block(heading: str) -> str:
    text = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2]
    found = re.search(r"```bash\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found.group(1)


def bash(lines: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seen_in(path: Path) -> dict[str, str]:
    return read_shape(np.asarray(Image.open(path).convert("RGB")))


def finish(client: httpx.Client, job_id: str, seconds: float = 240) -> dict[str, Any]:
    """The final job, however often the service or a store was away meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", params={"wait": 10}).json()
        except httpx.TransportError:
            continue
        if job.get("finished_at"):
            return job
        time.sleep(0.2)
    raise AssertionError(f"{job_id} is not done after {seconds:.0f} s")


def submit(client: httpx.Client, seed: int = 1, seconds: float = 120) -> str:
    """A job's id; told to come back later, it comes back."""
    body = {"generator": "image", "input": {"prompt": PROMPT, "seed": seed}}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = client.post("/v1/jobs", json=body)
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"]
        time.sleep(0.5)
    raise AssertionError("no job was accepted")


def test_the_first_picture_shows_the_prompt(run: Run) -> None:
    (picture,) = (run.home / "out").glob("*.png")
    seen = seen_in(picture)
    assert (seen["color"], seen["background"]) == ("yellow", "blue")


def test_secrets_are_its_owners_alone(run: Run) -> None:
    for name in ("dev.json", "embedded.json"):
        assert stat.S_IMODE((run.data / name).stat().st_mode) == 0o600
    assert set(run.dev) == {
        "base_url", "api_key", "admin_api_key", "dashboard_url", "stripe", "pids"
    }  # fmt: skip
    assert run.dev["api_key"] not in run.dev["admin_api_key"]


def test_no_secret_is_on_a_command_line(run: Run) -> None:
    """Every user of the machine can read those, with ``ps``."""
    secrets = secrets_of(run.data, run.dev)
    assert len(secrets) >= 6
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        assert not [secret for secret in secrets if secret in line], line.split()[0]


def test_nothing_clients_or_stores_use_listens_beyond_loopback(run: Run) -> None:
    ports = {int(run.dev["base_url"].rpartition(":")[2])}
    stores = json.loads((run.data / "embedded.json").read_text())
    ports |= {value for name, value in stores.items() if name.endswith("_port")}
    listening = [c.laddr for c in psutil.net_connections("tcp") if c.status == "LISTEN"]
    ours = [address for address in listening if address.port in ports]
    assert {address.port for address in ours} >= ports - {0}
    assert {address.ip for address in ours} == {"127.0.0.1"}


def test_the_doctor_finds_nothing_wrong(run: Run) -> None:
    assert "readiness" in run.findings()


def test_the_operators_command_finds_the_run_without_any_variable(run: Run) -> None:
    def told(command: str) -> Any:
        return json.loads(bash(f".venv/bin/atelier-admin {command} --json --data {run.data}", ROOT))

    (queue,) = [row for row in told("queues list")["data"] if row["generator"] == "image"]
    assert queue["replicas"] == 1 and not queue["paused"]
    assert told("reconcile")["data"] == []
    # Through Serve's REST API; the controller takes it up with its next round.
    assert run.process is not None
    before = replicas_below(run.process.pid)
    assert before
    scaled = told("scale image --max 2")
    assert (scaled["changed"], scaled["replaces"]) == ({"max_replicas": [1, 2]}, False)
    # While Serve builds the application anew, it lists none of its deployments.
    rows, until = list[dict[str, Any]](), time.monotonic() + 120
    while ("image", 2, 1) not in [(r["name"], r["max_replicas"], r["running"]) for r in rows]:
        assert time.monotonic() < until, rows
        rows = told("scale")["data"]
    assert replicas_below(run.process.pid) == before


def test_a_jobs_id_is_in_the_logs_from_the_submit_to_the_settlement(run: Run) -> None:
    with run.client() as client:
        job = finish(client, submit(client))
    wanted, until = {"job_submitted", "job_started", "job_ended"}, time.monotonic() + 120
    told: set[str] = set()
    while not told >= wanted and time.monotonic() < until:  # the last line follows the settlement
        time.sleep(0.2)
        told = {line["event"] for line in run.logged() if line.get("job_id") == job["id"]}
    assert told >= wanted
    assert not [line for line in run.logged() if line["level"] == "error"]


def test_the_readmes_lines_work_as_printed(run: Run, tmp_path: Path) -> None:
    lines = readme_block("Over HTTP")
    assert "URL=http://127.0.0.1:8000\n" in lines
    said = bash(lines.replace("http://127.0.0.1:8000", run.dev["base_url"]), tmp_path)
    assert "event: done" in said  # progress only if the job was not over when the events were asked
    seen = seen_in(tmp_path / "circle.png")
    assert (seen["color"], seen["background"]) == ("yellow", "blue")


def test_the_python_of_the_api_page_works_as_printed(run: Run, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    make, follow, openai, replicate = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    known = environment() | {"URL": run.dev["base_url"], "KEY": run.dev["api_key"]}
    python = [sys.executable, "-c"]
    said = subprocess.check_output([*python, make], cwd=tmp_path, env=known, text=True)
    assert said == "image-0.png 64 64\n"
    assert Image.open(tmp_path / "image-0.png").size == (64, 64)
    with run.client() as client:
        known["JOB"] = submit(client)
    said = subprocess.check_output([*python, follow], cwd=tmp_path, env=known, text=True)
    assert said.splitlines()[-1] == "done succeeded"
    said = subprocess.check_output([*python, openai], cwd=tmp_path, env=known, text=True)
    assert said == "64x64 completed\n"
    with av.open(tmp_path / "film.mp4") as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (640, 360)
    said = subprocess.check_output([*python, replicate], cwd=tmp_path, env=known, text=True)
    assert said == "2 links\n"


def test_credits_can_be_bought_from_a_stand_in_that_says_what_it_is(run: Run) -> None:
    page = (ROOT / "docs" / "api.md").read_text().partition("\n## Buying credits\n")[2]
    found = re.search(r"```bash\n(.*?)```", page, re.DOTALL)
    assert found is not None
    lines = f"URL={run.dev['base_url']}\nKEY={run.dev['api_key']}\n{found.group(1)}"
    said = bash(lines.replace("curl -s", "curl -sw '\\n'"), ROOT)
    packs, opened = map(json.loads, said.splitlines())
    assert [pack["name"] for pack in packs["packs"]] == ["small", "medium", "large"]
    with run.client() as client, httpx.Client(timeout=90) as browser:
        before = client.get("/v1/credits").json()["balance"]
        assert "Stand-in for Stripe: no money moves" in browser.get(opened["url"]).text
        paid = browser.post(opened["url"], data={"way": "works"}, follow_redirects=True)
        assert "Your credits are there as soon as the payment has arrived" in paid.text
        until = time.monotonic() + 120
        while (after := client.get("/v1/credits").json()["balance"]) == before:
            assert time.monotonic() < until, "no credits came"
            time.sleep(0.2)
        assert after == before + 500
        (receipt,) = client.get("/v1/billing/receipts").json()["data"]
        assert (receipt["status"], receipt["total"]) == ("paid", 500)
        assert "no money moves" in browser.get(receipt["url"]).text


def test_the_gallerys_first_line_makes_its_picture(run: Run, tmp_path: Path) -> None:
    """The others are examples that generators ship, which are compared without the service."""
    first = next(gallery.read_items(gallery.PAGE.read_text(encoding="utf-8")))
    with Client(run.dev["base_url"], run.dev["api_key"]) as client:
        folders = tmp_path / "out", tmp_path / "drawn"
        (drawn,) = gallery.draw_gallery([first], client, *folders, Screen())
    assert_as_in_the_gallery(drawn.name, Image.open(drawn))


def test_a_batch_is_made_once(run: Run, tmp_path: Path) -> None:
    lines = readme_block("Many at once")
    assert " submit -- python -m scripts.submit_batch jobs.jsonl --out out/stars" in lines
    lines = (
        lines.replace(".venv/bin/ray", str(ROOT / ".venv/bin/ray"))
        .replace("submit --", f"submit --address {run.dev['dashboard_url']} --")
        .replace("jobs.jsonl --out out/stars", f"{tmp_path}/jobs.jsonl --out {tmp_path}/out")
        .replace("submit_batch", f"submit_batch --dev {run.data}/dev.json")
    )
    before = stars(run)
    assert "3 jobs made" in bash(lines, tmp_path)
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert "Every line was made by an earlier run." in bash(lines, tmp_path)
    assert stars(run) == before + 3


def stars(run: Run) -> int:
    """How many jobs there are whose prompt speaks of stars."""
    with run.client() as client:
        jobs = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
    return sum("star" in job["input"].get("prompt", "") for job in jobs)


@pytest.mark.parametrize("server", ["valkey", "postgres", "seaweedfs"])
def test_the_job_after_a_killed_server_works_and_is_charged(run: Run, server: str) -> None:
    os.kill(run.dev["pids"][server], signal.SIGKILL)
    with run.client() as client:
        job = finish(client, submit(client))
    assert (job["status"], job["cost"]["charged"]) == ("succeeded", job["cost"]["estimated"])


def test_ten_queued_jobs_survive_the_loss_of_all_that_valkey_knew(run: Run) -> None:
    with run.client() as client:
        before = client.get("/v1/credits").json()["balance"]
        ids = [submit(client, seed) for seed in range(10)]
        os.kill(eventually(run.valkey), signal.SIGKILL)
        for kept in (run.data / "valkey").iterdir():  # whatever the next one removes meanwhile
            if kept.is_dir():
                shutil.rmtree(kept, ignore_errors=True)
            else:
                kept.unlink(missing_ok=True)
        jobs = [finish(client, job_id) for job_id in ids]
        assert [job["status"] for job in jobs] == ["succeeded"] * 10
        after = client.get("/v1/credits").json()
    spent = sum(job["cost"]["estimated"] for job in jobs)
    assert (after["balance"], after["held"]) == (before - spent, 0)


def test_a_killed_run_is_taken_over_and_yesterdays_jobs_are_there(run: Run) -> None:
    with run.client() as client:
        known = {job["id"] for job in client.get("/v1/jobs").json()["data"]}
    assert run.process is not None
    run.process.kill()
    run.process.wait()
    (run.home / "run.log").unlink()
    run.start()
    run.wait_until_up()
    with run.client() as client:
        jobs = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
    assert known <= {job["id"] for job in jobs}


def test_no_log_has_a_secret_a_prompt_or_a_signed_link(run: Run) -> None:
    logs = [*(run.data / "logs").iterdir(), *ray_folder(run.data).glob("session_*/logs/**/*")]
    words = {*secrets_of(run.data, run.dev), PROMPT, "X-Amz-Signature="}
    assert leaks(logs, words) == []


def test_ctrl_c_leaves_no_process_behind(run: Run) -> None:
    assert run.process is not None
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(240) == 0
    assert run.left() == []
    assert not (run.data / "dev.json").exists()
    assert "none on" in run.findings()["run"]
