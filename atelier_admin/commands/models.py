"""``atelier-admin models``: the models of a profile.

Without ``--profile`` it is the one that this machine would run (``ATELIER_PROFILE``, else by its
GPU). Exit status: 1 weights are missing, damaged or could not be fetched; 2 there is no profile or
model of that name.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from atelier_admin.errors import BadConfiguration
from atelier_admin.options import Subparsers
from models.profiles.load import UnknownProfile, load_profile
from models.profiles.select import gpu_memory_gb, select_profile


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("models", help="the models of a profile: list, fetch, check")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--profile", help="a file of models/profiles, without .yaml")
    common.add_argument("--json", action="store_true", help="print JSON instead of tables")
    common.add_argument("--cache", type=Path, help="the hub's cache, if not the usual one")
    actions.add_parser("list", parents=[common], help="what the profile needs")
    get = actions.add_parser("fetch", parents=[common], help="download what is missing")
    get.add_argument("models", nargs="*", metavar="MODEL", help="only these")
    get.add_argument("--endpoint", help="another hub; by default HF_ENDPOINT")
    look = actions.add_parser("check", parents=[common], help="read every file and compare")
    look.add_argument("models", nargs="*", metavar="MODEL", help="only these")
    look.add_argument("--delete", action="store_true", help="delete what is wrong; then fetch")
    group.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        name = arguments.profile or select_profile(os.environ, gpu_memory_gb())
        profile = load_profile(name)
    except UnknownProfile as problem:
        raise BadConfiguration(str(problem)) from problem
    names: list[str] = getattr(arguments, "models", [])
    if unknown := sorted(set(names) - set(profile.models)):
        raise BadConfiguration(
            f"{profile.name} has no {', '.join(unknown)}; it has: {', '.join(profile.models)}"
        )
    # It imports torch, which takes seconds where nothing needs it.
    from atelier_admin.model_files import Models

    endpoint = getattr(arguments, "endpoint", None)
    models = Models(profile, arguments.json, arguments.cache, endpoint)
    if arguments.action == "list":
        return models.list_models()
    if arguments.action == "fetch":
        return models.fetch(names)
    return models.verify(names, arguments.delete)
