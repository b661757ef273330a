"""The scribe under another name, whose jobs are expected to take ten minutes: its queue is soon
worth hours."""

from __future__ import annotations

from dataclasses import replace

from tests.support import scribe

SPEC = replace(
    scribe.SPEC, name="laggard", title="Laggard", expected_seconds=600.0, max_seconds=900.0
)
