"""``atelier-admin scale``: how many replicas each deployment has, and may have."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import asdict

import yaml

from atelier_admin.connections import ACTOR, open_sessions, read_application
from atelier_admin.dashboard import Dashboard, DashboardUnavailable, NotScalable
from atelier_admin.errors import DONE
from atelier_admin.options import Subparsers, application_options, at_least
from atelier_admin.output import print_done, print_rows
from db.operations import audit_log
from deployments.gpu_manager.names import GPU_MANAGER


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "scale",
        help="replicas: how many there are, and may be",
        parents=[application_options()],
        description="Without bounds it shows every deployment. With them it changes one by Serve's "
        "REST API, until the next `serve deploy` of a file; it prints what to write into "
        "serve_config.yaml so that it stays. The first change after a deploy has Serve replace all "
        "replicas, as a deploy does: what runs ends first, or is gone on with. Later ones do not.",
    )
    parser.add_argument("deployment", nargs="?", help="a generator, or gpu_manager")
    parser.add_argument("--min", type=at_least(0), metavar="N", help="replicas at any time")
    parser.add_argument("--max", type=at_least(1), metavar="N", help="replicas at most")
    parser.add_argument(
        "--print", action="store_true", help="change nothing; print the edit of serve_config.yaml"
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    given = {"min_replicas": arguments.min, "max_replicas": arguments.max}
    bounds = {name: value for name, value in given.items() if value is not None}
    if bool(bounds) != bool(arguments.deployment):
        arguments.parser.error("name a deployment and --min, --max or both; or neither, to look")
    dashboard = Dashboard.find(arguments.data)
    if not bounds:
        rows = [asdict(one) for one in dashboard.deployments()]
        print_rows(arguments, rows, none="no deployments")
        return DONE
    if arguments.print:
        edit = config_edit(arguments.deployment, _in_file(arguments, bounds))
        print_done(arguments, {"edit": edit}, edit)
        return DONE
    return asyncio.run(_scale(arguments, dashboard, bounds))


def _in_file(arguments: argparse.Namespace, bounds: dict[str, int]) -> dict[str, int]:
    """Return both bounds as the Serve config file has them, with those that were given.

    Raises:
        BadConfiguration: the file cannot be read.
    """
    name, application = arguments.deployment, read_application(arguments.config)
    ends = "managers" if name == GPU_MANAGER else "replicas"
    least, most = (1, 1) if name == GPU_MANAGER else (0, 1)  # of AppArgs
    found: dict[str, int] = {
        "min_replicas": application["args"].get(f"min_{ends}", least),
        "max_replicas": application["args"].get(f"max_{ends}", most),
    }
    for override in application.get("deployments") or []:
        if override.get("name") == name:
            found |= override.get("autoscaling_config") or {}
    found |= bounds
    if "max_replicas" not in bounds:
        found["max_replicas"] = max(found["max_replicas"], found["min_replicas"])
    if "min_replicas" not in bounds:
        found["min_replicas"] = min(found["max_replicas"], found["min_replicas"])
    return {key: found[key] for key in ("min_replicas", "max_replicas")}


def config_edit(deployment: str, bounds: Mapping[str, int]) -> str:
    """Return what to write into ``serve_config.yaml``, so that a deploy keeps both bounds.

    Serve takes its own defaults for what an override leaves out, among them ten minutes until an
    idle replica goes.
    """
    whole = {**bounds, "upscale_delay_s": 0, "downscale_delay_s": 0}
    override = [{"name": deployment, "autoscaling_config": whole}]
    lines = yaml.safe_dump({"deployments": override}, sort_keys=False).splitlines()
    return "\n".join(
        ["# in serve_config.yaml, under `- name: atelier`", *("    " + x for x in lines)]
    )


async def _scale(
    arguments: argparse.Namespace, dashboard: Dashboard, bounds: dict[str, int]
) -> int:
    name = arguments.deployment
    async with open_sessions(arguments) as sessions, sessions.begin() as session:
        # Connected before anything changes: a change that cannot be audited is not made.
        await session.connection()
        try:
            change = await asyncio.to_thread(dashboard.set_bounds, name, bounds)
        except (DashboardUnavailable, NotScalable) as error:
            edit = config_edit(name, _in_file(arguments, bounds))
            raise type(error)(
                f"{error}\nBy hand, then `serve deploy serve_config.yaml`:\n{edit}"
            ) from None
        changed = {key: [change.before[key], value] for key, value in bounds.items()}
        await audit_log.write(
            session, actor=ACTOR, action="deployment.scaled", subject=name, detail=changed
        )
    edit = config_edit(name, change.after)
    said = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
    if change.replaces:
        said += "\nIt is the first change since the deploy: Serve replaces all replicas once."
    done = {"deployment": name, "changed": changed, "replaces": change.replaces, "edit": edit}
    print_done(arguments, done, f"{name}: {said}\nTo keep it beyond the next deploy:\n{edit}")
    return DONE
