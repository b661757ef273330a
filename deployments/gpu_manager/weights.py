"""A GPU manager fetches what its profile lacks before it loads. Importing this imports torch."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import structlog
from huggingface_hub import constants

from models.profiles.load import Profile
from models.weights.fetch import carry_out, fetch_lock, plan_fetch
from models.weights.hub import HubUnreachable, ProgressCallback, absent_models

# Serve gives a new deployment up after three failed starts, which a network that is away for a
# moment must not use up. The hub's client tries again by itself, too.
TRIES = 20
PAUSE_S = 30.0  # between tries
SAY_EACH_S = 30.0

_COMMAND = "./scripts/node exec atelier-admin models fetch"

log = structlog.get_logger(__name__)


def fetch_weights(
    profile: Profile, *, cache: Path | None = None, endpoint: str | None = None
) -> None:
    """Fetch what the profile's models lack; blocks. Nothing is asked of the hub if all is there.

    Of several managers that share a cache one fetches, and the others wait for it. What has arrived
    is kept when a fetch is broken off, and the next goes on. What cannot be had is an error in the
    log and not of the start: the manager does the work of the models that are there.
    """
    absent = absent_models(profile, cache=cache)
    if not absent:
        return
    names = [need.key for need in absent]
    if constants.HF_HUB_OFFLINE:
        log.error("weights_missing", profile=profile.name, models=names, mend=_COMMAND)
        return
    with fetch_lock(lambda: log.info("weights_fetched_by_another", models=names), cache=cache):
        _fetch(profile, cache, endpoint)


def _fetch(profile: Profile, cache: Path | None, endpoint: str | None) -> None:
    started = time.monotonic()
    fetched = 0
    for left in reversed(range(TRIES)):
        absent = absent_models(profile, cache=cache)
        if not absent:
            break  # by another meanwhile
        plan = plan_fetch(absent, cache=cache, endpoint=endpoint)
        keys = [need.key for need in absent]
        log.info("weights_fetching", profile=profile.name, models=keys, bytes=plan.bytes or None)
        progress = _Progress(plan.bytes)
        failed = carry_out(plan, progress.of, cache=cache, endpoint=endpoint)
        fetched += progress.done
        if not failed:
            break
        said = {key: str(reason) for key, reason in failed.items()}
        if not left or any(not isinstance(one, HubUnreachable) for one in failed.values()):
            log.error("weights_not_fetched", profile=profile.name, models=said, mend=_COMMAND)
            return
        log.warning("weights_fetch_broken", models=said, again_in_s=PAUSE_S)
        time.sleep(PAUSE_S)
    seconds = round(time.monotonic() - started, 3)
    log.info("weights_fetched", profile=profile.name, bytes=fetched, seconds=seconds)
    if damaged := [need.key for need in absent_models(profile, cache=cache)]:
        # The hub's client keeps a file that is there, whatever is in it.
        log.error("weights_damaged", models=damaged, mend="atelier-admin models check --delete")


class _Progress:
    """Logs how far a fetch of ``total`` bytes is, at most each ``SAY_EACH_S``."""

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total
        self._said = time.monotonic()
        self._lock = threading.Lock()  # the hub's client reports from several threads

    def of(self, key: str) -> ProgressCallback:
        """The callback for the model ``key``, whose first call says what was there before."""
        counted: int | None = None

        def report(done: int, _: int) -> None:
            nonlocal counted
            with self._lock:
                self.done += done - (done if counted is None else counted)
                counted = done
                now = time.monotonic()
                if now - self._said >= SAY_EACH_S:
                    self._said = now
                    log.info("weights_arriving", model=key, bytes=self.done, of=self._total)

        return report
