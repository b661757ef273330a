"""What a line of a job's log may say, and how much of a log there is."""

import json

import pytest

from deployments.job_log import MAX_BYTES, MAX_LINES, MAX_MESSAGE, LogLine, bounded


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("loading model Qwen/Qwen-Image", "loading model Qwen/Qwen-Image"),
        ("scene 2/5 drawn, 3 steps/s", "scene 2/5 drawn, 3 steps/s"),
        ("no room in /data/jobs/job_1/a.png", "no room in [path]"),
        ("read '/var/lib/atelier/weights'", "read '[path]'"),
        ("~/models/flux is missing", "[path] is missing"),
        ("the key atl_0123456789abcdefghijkl was used", "the key [redacted] was used"),
        ("redis://user:word@10.0.0.1 is away", "redis://[redacted]@10.0.0.1 is away"),
        ("two\nlines\tand\x1b[31m red", "two lines and [31m red"),
    ],
)
def test_a_line_names_no_path_and_no_secret(message: str, shown: str) -> None:
    assert LogLine.of(message).message == shown


def test_a_long_line_is_cut() -> None:
    assert len(LogLine.of("x " * MAX_MESSAGE).message) == MAX_MESSAGE


def test_the_last_lines_stay() -> None:
    few = [LogLine.of(f"line {number}").as_json() for number in range(MAX_LINES + 7)]
    assert bounded(few) == few[7:] or len(json.dumps(bounded(few))) > MAX_BYTES - 200
    long = [LogLine.of(f"{number} " + "x" * 250).as_json() for number in range(MAX_LINES)]
    kept = bounded(long)
    assert kept == long[-len(kept) :] and len(kept) < MAX_LINES
    assert MAX_BYTES - 500 < sum(len(json.dumps(line)) for line in kept) <= MAX_BYTES
