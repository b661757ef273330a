"""What must hold after any fault. Reads Postgres and the bucket, and nothing else of ours.

Written against the schema and the contract alone, with other libraries than the service uses where
there is a choice, so that a mistake in the service's own queries cannot hide itself.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psycopg
from minio import Minio
from minio.error import S3Error
from psycopg.rows import dict_row
from urllib3.exceptions import HTTPError

# The ids of the deliveries of each event, by job and type of event.
Heard = Mapping[tuple[str, str], Collection[str]]

FINAL = ("succeeded", "failed", "canceled")
EXAMPLES = 5
PATIENCE_S = 60.0  # with the store, for all of its objects together
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Damage:
    """Something that must not be: which rule was broken, and by what."""

    rule: str
    what: str


def check(
    database_url: str,
    bucket: Minio,
    bucket_name: str,
    accepted: Mapping[str, str],
    heard: Heard | None = None,
) -> list[Damage]:
    """Everything that is wrong. ``accepted`` are the jobs that clients were told of, by the
    Idempotency-Key they were submitted with; ``heard`` is what their webhooks were sent."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs").fetchall()}
        keys = connection.execute("SELECT key, resource_id FROM idempotency_keys").fetchall()
        found = [
            *accepted_jobs(jobs, accepted),
            *repeated_submits(jobs, accepted, {row["key"]: row["resource_id"] for row in keys}),
            *ended_jobs(jobs),
            *charges(connection, jobs),
            *books(connection),
            *files(connection, jobs),
            *webhooks(jobs, heard or {}),
        ]
    found += objects(bucket, bucket_name, jobs)
    return found


def accepted_jobs(jobs: Mapping[str, Any], accepted: Mapping[str, str]) -> list[Damage]:
    gone = set(accepted.values()) - jobs.keys()
    return [Damage("an accepted job is there", job_id) for job_id in sorted(gone)]


def repeated_submits(
    jobs: Mapping[str, Any], accepted: Mapping[str, str], keys: Mapping[str, str]
) -> list[Damage]:
    """One Idempotency-Key made one job, also where no client heard of it."""
    told = [
        Damage("a key makes one job", f"{key}: told {job_id}, kept {keys.get(key)}")
        for key, job_id in accepted.items()
        if keys.get(key) != job_id
    ]
    unasked = jobs.keys() - set(keys.values())
    return told + [Damage("a job was asked for", job_id) for job_id in sorted(unasked)]


def ended_jobs(jobs: Mapping[str, Any]) -> list[Damage]:
    found = []
    for job_id, job in jobs.items():
        status = job["status"]
        if status not in FINAL:
            found.append(Damage("a job ends", f"{job_id} is {status}, attempt {job['attempt']}"))
        if status == "succeeded" and not job["outputs"]:
            found.append(Damage("success has outputs", job_id))
        if status == "failed" and not job["error"]:
            found.append(Damage("a failure says why", job_id))
    return found


def charges(connection: psycopg.Connection[Any], jobs: Mapping[str, Any]) -> list[Damage]:
    """Each job was held once, and what was held was captured or released as its state says."""
    moved: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(
        "SELECT job_id, kind, amount FROM transactions WHERE job_id IS NOT NULL"
    ):
        moved[row["job_id"]][row["kind"]].append(abs(row["amount"]))
    found = []
    for job_id, job in jobs.items():
        kinds = moved[job_id]
        held, captured, released = (kinds[kind] for kind in ("hold", "capture", "release"))
        if [*held] != [job["credits_quoted"]]:
            found.append(Damage("a job is held for once", f"{job_id}: {held}"))
        if job["status"] not in FINAL:
            continue
        if len(captured) > 1 or len(released) > 1:
            found.append(Damage("a job is settled once", f"{job_id}: {captured} {released}"))
        if sum(captured) + sum(released) != sum(held):
            found.append(Damage("what was held is settled", f"{job_id}: {dict(kinds)}"))
        if sum(captured) != job["credits_charged"] or job["credits_held"]:
            found.append(Damage("a job's row says what was charged", job_id))
        due = {"succeeded": job["credits_quoted"], "failed": 0}.get(job["status"])
        if due is not None and sum(captured) != due:
            what = f"{job_id} {job['status']}: {sum(captured)} of {job['credits_quoted']}"
            found.append(Damage("the charge follows the state", what))
    return found


def books(connection: psycopg.Connection[Any]) -> list[Damage]:
    """Entries sum to zero, and balances equal their entries."""
    found = []
    rows = connection.execute(
        "SELECT transaction_id, sum(amount) AS total FROM entries"
        " GROUP BY transaction_id HAVING sum(amount) <> 0"
    ).fetchall()
    found += [Damage("a transaction sums to zero", str(row)) for row in rows]
    users = connection.execute(
        "SELECT u.id, u.balance, u.held,"
        " coalesce(sum(e.amount) FILTER (WHERE e.account = 'user:' || u.id || ':available'), 0)"
        " AS available, coalesce(sum(e.amount) FILTER (WHERE e.account = 'user:' || u.id ||"
        " ':held'), 0) AS set_aside FROM users u LEFT JOIN entries e"
        " ON e.account LIKE 'user:' || u.id || ':%' GROUP BY u.id"
    ).fetchall()
    for user in users:
        if (user["balance"], user["held"]) != (user["available"], user["set_aside"]):
            found.append(Damage("a balance equals its entries", str(user)))
        if user["held"]:
            found.append(Damage("no hold is left", f"{user['id']} holds {user['held']}"))
    return found


def files(connection: psycopg.Connection[Any], jobs: Mapping[str, Any]) -> list[Damage]:
    """What a user finds among their files are the outputs of their jobs, each once."""
    kept: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(
        "SELECT job_id, object_key FROM files WHERE purpose = 'output' AND deleted_at IS NULL"
    ):
        kept[row["job_id"]].append(row["object_key"])
    found = []
    for job_id, job in jobs.items():
        named = sorted(output["object_key"] for output in job["outputs"])
        if job["status"] == "succeeded" and sorted(kept[job_id]) != named:
            what = f"{job_id}: {sorted(kept[job_id])} for {named}"
            found.append(Damage("a job's files are its outputs", what))
    return found


def webhooks(jobs: Mapping[str, Any], heard: Heard) -> list[Damage]:
    """Who asked to be told was told how the job ended, and every time under the same id."""
    found = []
    for job_id, job in jobs.items():
        ended = {kind for told, kind in heard if told == job_id} - {"job.started"}
        due = {f"job.{job['status']}"} if job["webhook_url"] and job["status"] in FINAL else set()
        if ended != due:
            what = f"{job_id} is {job['status']}: {sorted(ended)}"
            found.append(Damage("a webhook tells how a job ended", what))
    for (job_id, kind), ids in heard.items():
        if len(ids) != 1:
            found.append(Damage("an event has one id", f"{job_id} {kind}: {len(ids)}"))
        if job_id not in jobs:
            found.append(Damage("a webhook is of a job", job_id))
    return found


def objects(bucket: Minio, name: str, jobs: Mapping[str, Any]) -> list[Damage]:
    """Every output is there with its hash, and nothing lies there that no job names."""
    named = {
        output["object_key"]: output["sha256"]
        for job in jobs.values()
        if job["status"] == "succeeded"
        for output in job["outputs"]
    }
    until = time.monotonic() + PATIENCE_S
    there = _patiently(lambda: _listed(bucket, name), until)
    lost = [Damage("an output is there", key) for key in sorted(named.keys() - there)]
    stray = [Damage("an object has its job", key) for key in sorted(there - named.keys())]
    altered = []
    for key in sorted(named.keys() & there):
        try:
            digest = _patiently(partial(_digest, bucket, name, key), until)
        except (S3Error, HTTPError) as error:
            altered.append(Damage("an output can be read", f"{key}: {type(error).__name__}"))
            continue
        if digest != named[key]:
            altered.append(Damage("an output is what was made", key))
    return lost + stray + altered


def _patiently(ask: Callable[[], Answer], until: float) -> Answer:
    """SeaweedFS that was just killed answers 500 until its volumes have found their master."""
    while True:
        try:
            return ask()
        except (S3Error, HTTPError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def _listed(bucket: Minio, name: str) -> set[str]:
    found = bucket.list_objects(name, "outputs/", recursive=True)
    return {str(one.object_name) for one in found}


def _digest(bucket: Minio, name: str, key: str) -> str:
    answer = bucket.get_object(name, key)
    try:
        return hashlib.sha256(answer.read()).hexdigest()
    finally:
        answer.close()
        answer.release_conn()


def told(damage: list[Damage]) -> str:
    """A few of each rule, for people."""
    by_rule: dict[str, list[str]] = defaultdict(list)
    for one in damage:
        by_rule[one.rule].append(one.what)
    lines = []
    for rule, what in by_rule.items():
        lines.append(f"broken: {rule} ({len(what)} times)")
        lines += [f"    {each}" for each in what[:EXAMPLES]]
    return "\n".join(lines)
