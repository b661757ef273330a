"""Run by every Python process that has this folder on its path: see ``tests.chaos.sabotage``."""

import os

if os.environ.get("CHAOS_WITHOUT"):
    from tests.chaos.sabotage import switch_off

    switch_off(os.environ["CHAOS_WITHOUT"])
