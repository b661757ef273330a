"""Ray Serve through its REST API, at the address of Ray's dashboard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from atelier_admin.errors import UNREACHABLE, AdminError
from atelier_admin.servers import data_folder, read_dev_file

DEFAULT_URL = "http://127.0.0.1:8265"
APPLICATIONS = "/api/serve/applications/"
APPLICATION = "atelier"
TIMEOUT_S = 60.0  # a busy machine's dashboard takes its time
CONNECT_TIMEOUT_S = 10.0
# What a PUT may repeat of what a GET answers, so that nothing but the applications changes.
_INSTANCE_FIELDS = ("proxy_location", "http_options", "grpc_options", "target_capacity")
# What an override of autoscaling has to repeat: Serve takes its own defaults for the rest of it.
_SCALING_FIELDS = (
    "min_replicas", "max_replicas", "target_ongoing_requests", "metrics_interval_s",
    "look_back_period_s", "upscale_delay_s", "downscale_delay_s",
)  # fmt: skip


class DashboardUnavailable(AdminError):
    """Ray's dashboard does not answer, or does not let us in."""

    status: ClassVar[int] = UNREACHABLE


class NotScalable(AdminError):
    """Serve cannot change it this way; the message says why."""


@dataclass(frozen=True)
class Deployment:
    """A deployment as Serve reports it; bounds of None: it does not scale by itself."""

    name: str
    status: str
    running: int
    target: int
    min_replicas: int | None
    max_replicas: int | None
    message: str


@dataclass(frozen=True)
class ScaleChange:
    """The bounds that changed as they were, all bounds as they are now, and whether Serve replaces
    all replicas to take them up."""

    before: Mapping[str, int | None]
    after: Mapping[str, int]
    replaces: bool


@dataclass(frozen=True)
class Dashboard:
    """Ray's dashboard at ``url``; ``token`` is what it asks for, if it does."""

    url: str
    token: str | None

    @classmethod
    def find(cls, data: Path | None) -> Dashboard:
        """Find it in ``RAY_DASHBOARD_ADDRESS``, else of the local run, else at Ray's usual port."""
        folder = data_folder(data)
        known = os.environ.get("RAY_DASHBOARD_ADDRESS") or read_dev_file(folder).get(
            "dashboard_url"
        )
        return cls(str(known or DEFAULT_URL).rstrip("/"), _find_token(folder))

    def deployments(self) -> list[Deployment]:
        """List Atelier's deployments.

        Raises:
            DashboardUnavailable: it does not answer, or runs no Atelier.
        """
        found = self._application(self._details())["deployments"].values()
        return [_deployment(details) for details in found]

    def set_bounds(self, name: str, bounds: Mapping[str, int]) -> ScaleChange:
        """Change bounds (``min_replicas``, ``max_replicas``) of a deployment.

        It submits the configuration that is deployed once more, with these bounds. The next
        ``serve deploy`` of a file puts the file's bounds in their place.

        Raises:
            DashboardUnavailable: it does not answer.
            NotScalable: Serve refused it, or the configuration is not one that can be sent again.
        """
        details = self._details()
        application = self._application(details)
        found = application["deployments"].get(name)
        if found is None or not found["deployment_config"].get("autoscaling_config"):
            known = [one.name for one in map(_deployment, application["deployments"].values())
                     if one.max_replicas is not None]  # fmt: skip
            raise NotScalable(f"no deployment {name} that scales; there are {', '.join(known)}")
        current = found["deployment_config"]["autoscaling_config"]
        before = {key: current.get(key) for key in bounds}
        wanted = {**current, **bounds}
        if wanted["min_replicas"] > wanted["max_replicas"]:
            raise NotScalable(
                f"{name}: at least {wanted['min_replicas']} replicas and at most"
                f" {wanted['max_replicas']} do not go together"
            )
        config = with_bounds(details, name, bounds)
        self._put(config)
        (ours,) = (one for one in config["applications"] if one["name"] == APPLICATION)
        was = application["deployed_app_config"].get("deployments") or []
        after = {key: wanted[key] for key in ("min_replicas", "max_replicas")}
        return ScaleChange(
            before, after, _count_scaling(was) != _count_scaling(ours["deployments"])
        )

    def replica_page(self, replica: str) -> str | None:
        """Return the page with the log of a replica (``SERVE_REPLICA::app#deployment#id@node``)."""
        parts = replica.partition("@")[0].rpartition("::")[2].split("#")
        return f"{self.url}/#/serve/applications/{'/'.join(parts)}" if len(parts) == 3 else None

    def _details(self) -> dict[str, Any]:
        answer = self._send("GET")
        if answer.status_code != 200:
            raise DashboardUnavailable(
                f"{self.url} answered {answer.status_code}{self._hint(answer)}"
            )
        details: dict[str, Any] = answer.json()
        return details

    def _application(self, details: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] | None = details["applications"].get(APPLICATION)
        if found is None:
            raise DashboardUnavailable(f"no application {APPLICATION} is deployed at {self.url}")
        return found

    def _put(self, config: Mapping[str, Any]) -> None:
        answer = self._send("PUT", json=config)
        if answer.status_code != 200:
            raise NotScalable(f"Serve answered {answer.status_code}: {answer.text[:500]}")

    def _send(self, method: str, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            return httpx.request(
                method,
                self.url + APPLICATIONS,
                headers=headers,
                timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                **given,
            )
        except httpx.HTTPError as error:
            raise DashboardUnavailable(
                f"Ray's dashboard at {self.url} does not answer ({type(error).__name__});"
                " RAY_DASHBOARD_ADDRESS names another"
            ) from error

    def _hint(self, answer: httpx.Response) -> str:
        asks = answer.status_code in (401, 403)
        return ": it asks for a token, see RAY_AUTH_TOKEN" if asks else ""


def with_bounds(details: Mapping[str, Any], name: str, bounds: Mapping[str, int]) -> dict[str, Any]:
    """Return the configuration that is deployed, with other bounds of one deployment of Atelier.

    Raises:
        NotScalable: an application was not deployed by a configuration.
    """
    applications = []
    for title, application in details["applications"].items():
        config = application.get("deployed_app_config")
        if config is None:
            raise NotScalable(f"the application {title} was not deployed by a Serve config file")
        if title == APPLICATION:
            config = {
                **config,
                "deployments": _merged(
                    config.get("deployments") or [], _scaling(application), name, bounds
                ),
            }
        applications.append(config)
    kept = {key: details[key] for key in _INSTANCE_FIELDS if details.get(key) is not None}
    return {**kept, "applications": applications}


def _scaling(application: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """How each deployment scales now, by name; those that do not scale lack."""
    found = {}
    for name, details in application["deployments"].items():
        scaling = details["deployment_config"].get("autoscaling_config") or {}
        known = {key: scaling[key] for key in _SCALING_FIELDS if scaling.get(key) is not None}
        if known:
            found[name] = known
    return found


def _merged(
    overrides: list[dict[str, Any]],
    scaling: Mapping[str, dict[str, Any]],
    name: str,
    bounds: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the config's ``deployments:`` with the bounds; what else it says there stays.

    Every deployment that scales is listed with all that it has now. Serve replaces all replicas
    when another number of deployments has autoscaling there (``get_app_code_version`` counts
    them), so it does once, and no more when bounds change again.
    """
    listed = [one["name"] for one in overrides]
    whole = [*overrides, *({"name": one} for one in scaling if one not in listed)]
    merged = []
    for one in whole:
        own = dict(one)
        if one["name"] in scaling:
            given = own.get("autoscaling_config")
            changed = bounds if one["name"] == name else {}
            own["autoscaling_config"] = {
                **scaling[one["name"]], **(given if isinstance(given, dict) else {}), **changed
            }  # fmt: skip
        merged.append(own)
    return merged


def _count_scaling(overrides: list[dict[str, Any]]) -> int:
    return sum(isinstance(one.get("autoscaling_config"), dict) for one in overrides)


def _deployment(details: Mapping[str, Any]) -> Deployment:
    scaling = details["deployment_config"].get("autoscaling_config") or {}
    replicas = details["replicas"]
    return Deployment(
        name=details["name"],
        status=details["status"],
        running=sum(replica["state"] == "RUNNING" for replica in replicas),
        target=details["target_num_replicas"],
        min_replicas=scaling.get("min_replicas"),
        max_replicas=scaling.get("max_replicas"),
        message=details["message"],
    )


def _find_token(folder: Path) -> str | None:
    """Read the token where Ray looks for it, and where ./scripts/run puts one."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    usual = Path("~/.ray/auth_token").expanduser()
    for path in [Path(named)] if named else [usual, folder / "ray_token"]:
        try:
            return path.read_text().strip()
        except OSError:
            continue
    return None
