"""What a line of the log looks like in a replica of Ray Serve."""

import builtins
import io
import json

import pytest
import structlog
from ray.serve._private.logging_utils import redirected_print

from deployments.log_config import configure_logging


def test_a_traceback_can_be_read_where_serve_has_replaced_print(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.__stderr__", written)
    monkeypatch.setattr(builtins, "print", redirected_print)
    configure_logging()
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError:
        structlog.get_logger().exception("failed")
    lines = json.loads(written.getvalue())["exception"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "KeyError: 'inner'" in lines
    assert lines[-1] == "ValueError: outer"
