"""The error that a failed job shows its owner: a stable code and plain words, no traceback."""

from __future__ import annotations

from typing import Any

from deployments.contract import JobFailure


def _failure(code: str, title: str, detail: str, *, retryable: bool) -> dict[str, Any]:
    return {"code": code, "title": title, "detail": detail, "retryable": retryable}


def job_failure(error: JobFailure) -> dict[str, Any]:
    return _failure(error.code, error.title, error.detail, retryable=error.retryable)


def generator_error() -> dict[str, Any]:
    return _failure(
        "generator_error",
        "The generator failed",
        "Something went wrong while this was made. Nothing was charged; it may work if retried.",
        retryable=True,
    )


def time_limit_exceeded(max_seconds: float) -> dict[str, Any]:
    return _failure(
        "time_limit_exceeded",
        "The job took too long",
        f"It was stopped after {max_seconds:g} seconds. Nothing was charged.",
        retryable=True,
    )


def worker_lost(attempts: int) -> dict[str, Any]:
    return _failure(
        "worker_lost",
        "The job was lost",
        f"The machine running it went away {attempts} times. Nothing was charged.",
        retryable=True,
    )


def quarantined() -> dict[str, Any]:
    return _failure(
        "quarantined",
        "The job ended the process that ran it",
        "It did so twice, the second time with nothing beside it. Nothing was charged; whoever "
        "runs this service was told.",
        retryable=True,
    )


def expired() -> dict[str, Any]:
    return _failure(
        "expired",
        "The job waited too long",
        "Nobody came to run it within the time its priority allows. Nothing was charged.",
        retryable=True,
    )
