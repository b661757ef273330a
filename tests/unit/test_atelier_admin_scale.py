"""``atelier-admin scale``, with a server of the test in the place of Ray's dashboard."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import DeploymentDetails, ServeApplicationSchema, ServeDeploySchema

from atelier_admin.dashboard import Dashboard, DashboardUnavailable, NotScalable
from atelier_admin.main import main

FILE = yaml.safe_load((Path(__file__).parents[2] / "serve_config.yaml").read_text())
TOKEN = "a token of the tests"
SCALING = {
    "min_replicas": 0, "max_replicas": 4, "target_ongoing_requests": 2.0,
    "metrics_interval_s": 10.0, "look_back_period_s": 30.0, "upscale_delay_s": 0.0,
    "downscale_delay_s": 0.0,
}  # fmt: skip


def deployment(name: str, scaling: dict[str, Any] | None, replicas: int) -> dict[str, Any]:
    """A deployment as Serve's own schema writes it."""
    config: dict[str, Any] = {"name": name}
    config |= {"autoscaling_config": scaling} if scaling else {"num_replicas": replicas}
    found = DeploymentDetails(
        name=name,
        status="HEALTHY",
        status_trigger="CONFIG_UPDATE_COMPLETED",
        message="",
        deployment_config=config,
        target_num_replicas=replicas,
        required_resources={},
        replicas=[
            {"replica_id": f"r{n}", "state": "RUNNING", "start_time_s": 0.0}
            for n in range(replicas)
        ],
    )
    answer: dict[str, Any] = json.loads(found.model_dump_json(exclude_unset=True))  # as Serve does
    return answer


class Serve:
    """What stands for Ray's dashboard; ``put`` is what was sent to it."""

    def __init__(self) -> None:
        (config,) = ServeDeploySchema.model_validate(FILE).applications
        deployed = config.model_dump(mode="json", exclude_unset=True)
        deployed["deployments"] = [{"name": "video3d", "max_ongoing_requests": 3}]
        scaling = SCALING
        self.details: dict[str, Any] = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": "0.0.0.0", "port": 8000},
            "controller_info": {"node_id": "not for a PUT"},
            "applications": {
                "atelier": {
                    "deployed_app_config": deployed,
                    "deployments": {
                        "ingress": deployment("ingress", None, 1),
                        "image": deployment("image", scaling, 2),
                        "video3d": deployment("video3d", scaling, 0),
                    },
                }
            },
        }
        self.put: list[dict[str, Any]] = []

    def answer(self, method: str, body: bytes, token: str) -> tuple[int, bytes]:
        if token != f"Bearer {TOKEN}":
            return 401, b"no"
        if method == "GET":
            return 200, json.dumps(self.details).encode()
        ServeDeploySchema.model_validate(json.loads(body))
        self.put.append(json.loads(body))
        return 200, b""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    stands = Serve()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "")
            assert self.path == "/api/serve/applications/"
            status, answer = stands.answer(self.command, body, token)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = _respond  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield stands
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("serve")
def test_every_deployment_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:6] == ["ingress", "HEALTHY", "1", "1", "-", "-"]
    assert lines[2][:6] == ["image", "HEALTHY", "2", "2", "0", "4"]


def test_bounds_change_and_all_else_that_is_deployed_stays(serve: Serve) -> None:
    change = Dashboard.find(None).set_bounds("image", {"max_replicas": 8})
    assert (change.before, change.replaces) == ({"max_replicas": 4}, True)
    (sent,) = serve.put
    assert set(sent) == {"proxy_location", "http_options", "applications"}
    (application,) = sent["applications"]
    assert application.pop("deployments") == [
        {"name": "video3d", "max_ongoing_requests": 3, "autoscaling_config": SCALING},
        {"name": "image", "autoscaling_config": {**SCALING, "max_replicas": 8}},
    ]
    deployed = serve.details["applications"]["atelier"]["deployed_app_config"]
    assert application == {key: deployed[key] for key in deployed if key != "deployments"}
    assert application["autoscaling_policy"]["policy_kwargs"]["max_gpus"] == 12


def test_an_override_of_the_file_keeps_its_other_options(serve: Serve) -> None:
    Dashboard.find(None).set_bounds("video3d", {"min_replicas": 1, "max_replicas": 1})
    ((own,),) = ([one["deployments"] for one in serve.put[0]["applications"]],)
    assert own == [
        {
            "name": "video3d",
            "max_ongoing_requests": 3,
            "autoscaling_config": {**SCALING, "min_replicas": 1, "max_replicas": 1},
        },
        {"name": "image", "autoscaling_config": SCALING},
    ]


def test_a_second_change_replaces_no_replica(serve: Serve) -> None:
    """As Serve itself decides it: by the version of the code that it works out of the config."""
    dashboard, versions = Dashboard.find(None), set()
    for most in (8, 9):
        change = dashboard.set_bounds("image", {"max_replicas": most})
        (application,) = serve.put[-1]["applications"]
        versions.add(get_app_code_version(ServeApplicationSchema.model_validate(application)))
        serve.details["applications"]["atelier"]["deployed_app_config"] = application
    assert not change.replaces
    assert len(versions) == 1


@pytest.mark.parametrize(
    ("name", "bounds", "why"),
    [
        ("image", {"min_replicas": 5}, "do not go together"),
        ("painter", {"min_replicas": 1}, "there are image, video3d"),
        ("ingress", {"min_replicas": 1}, "no deployment ingress that scales"),
    ],
)
def test_what_cannot_be_is_not_sent(
    serve: Serve, name: str, bounds: dict[str, int], why: str
) -> None:
    with pytest.raises(NotScalable, match=why):
        Dashboard.find(None).set_bounds(name, bounds)
    assert serve.put == []


def test_an_application_without_a_config_is_left_alone(serve: Serve) -> None:
    serve.details["applications"]["atelier"]["deployed_app_config"] = None
    with pytest.raises(NotScalable, match="was not deployed by a Serve config file"):
        Dashboard.find(None).set_bounds("image", {"min_replicas": 1})


@pytest.mark.usefixtures("serve")
def test_a_wrong_token_and_no_dashboard_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    with pytest.raises(DashboardUnavailable, match="asks for a token"):
        Dashboard.find(None).deployments()
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(DashboardUnavailable, match="does not answer"):
        Dashboard.find(None).deployments()


def test_the_page_of_a_replica() -> None:
    dashboard = Dashboard("http://127.0.0.1:8265", None)
    page = dashboard.replica_page("SERVE_REPLICA::atelier#image#k3v9@0a1b2c")
    assert page == "http://127.0.0.1:8265/#/serve/applications/atelier/image/k3v9"
    assert dashboard.replica_page("of a test") is None


def test_the_edit_alone_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_DASHBOARD_ADDRESS", "http://127.0.0.1:9")
    assert main(["scale", "image", "--max", "8", "--print"]) == 0
    assert "- name: image" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["scale", "image"])
