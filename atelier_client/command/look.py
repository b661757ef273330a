"""Commands that look at what there is, or change it: generators, quotes, jobs, files, credits."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime

from atelier_client.batches import Batch
from atelier_client.client import Client
from atelier_client.command.exits import OK
from atelier_client.command.follow import JobLog, finish
from atelier_client.command.inputs import existing, read_input
from atelier_client.command.screen import Screen
from atelier_client.jobs import Job


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to the parser; ``add`` is its ``add_parser``."""
    add("generators", help="what there is").set_defaults(handle=_generators)

    quote = add("quote", help="what a job would cost; makes nothing")
    quote.set_defaults(handle=_quote)
    quote.add_argument("generator")
    quote.add_argument("words", nargs="+", metavar="FILE.json | - | name=value")

    jobs = add("jobs", help="your jobs, newest first")
    jobs.set_defaults(handle=_jobs)
    jobs.add_argument("--status", choices=("queued", "running", "succeeded", "failed", "canceled"))
    jobs.add_argument("--generator")
    jobs.add_argument("--limit", type=int, default=20, help="1 to 100 (default 20)")

    watch = add("watch", help="follow a job to its end")
    watch.set_defaults(handle=_watch)
    watch.add_argument("job", metavar="JOB")
    watch.add_argument("-o", "--out", metavar="PATH", help="save its outputs: a file, or a folder")
    watch.add_argument("--logs", action="store_true", help="print the lines of its log, too")
    watch.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job")

    cancel = add("cancel", help="cancel a job, or a batch")
    cancel.set_defaults(handle=_cancel)
    cancel.add_argument("job", metavar="JOB | BATCH")

    add("credits", help="what you can spend").set_defaults(handle=_credits)

    files = add("files", help="your files: list, upload, download or delete them")
    files.set_defaults(handle=_files)
    what = files.add_mutually_exclusive_group()
    what.add_argument("--upload", metavar="PATH", help="upload a picture or a sound; prints its id")
    what.add_argument("--download", metavar="FILE", help="save the file of this id")
    what.add_argument("--delete", metavar="FILE", help="erase the file of this id")
    files.add_argument("-o", "--out", default=".", metavar="PATH", help="where to save it")
    files.add_argument("--limit", type=int, default=20, help="1 to 100 (default 20)")


def _generators(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    found = client.generators.list()
    if screen.as_json:
        screen.answer(found)
        return OK
    rows = [
        (one.name, one.queue and one.queue.waiting, one.eta_s, one.description) for one in found
    ]
    screen.table(("name", "waiting", "seconds", "makes"), rows)
    return OK


def _quote(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    found = client.generators.quote(arguments.generator, read_input(arguments.words))
    if screen.as_json:
        screen.answer(found)
        return OK
    for line in found.breakdown:
        screen.note(f"{line.quantity} {line.item}: {line.credits}")
    screen.result(str(found.credits))
    return OK


def _jobs(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    page = client.jobs.list(
        status=arguments.status, generator=arguments.generator, limit=arguments.limit
    )
    if screen.as_json:
        screen.answer(page)
        return OK
    rows = [
        (job.id, job.generator, job.status, f"{job.progress:.0%}", _moment(job.created_at))
        for job in page.data
    ]
    screen.table(("job", "generator", "status", "done", "created"), rows)
    return OK


def _watch(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    job = client.jobs.get(arguments.job)
    return finish(
        client,
        screen,
        job,
        arguments.out,
        cancel_on_interrupt=arguments.cancel_on_interrupt,
        log=JobLog(client, screen, job.id) if arguments.logs else None,
    )


def _cancel(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    asked: Job | Batch
    if arguments.job.startswith("bat_"):
        asked = client.batches.cancel(arguments.job)
    else:
        asked = client.jobs.cancel(arguments.job)
    if screen.as_json:
        screen.answer(asked)
    else:
        screen.result(asked.status if asked.is_final else "asked to stop")
    return OK


def _credits(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    found = client.credits.get()
    if screen.as_json:
        screen.answer(found)
        return OK
    screen.result(str(found.balance))
    screen.note(f"held for jobs: {found.held}" + (f", owed: {found.debt}" if found.debt else ""))
    return OK


def _files(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    if arguments.upload:
        file = client.files.upload(existing(arguments.upload))
        if screen.as_json:
            screen.answer(file)
        else:
            screen.result(file.id)
    elif arguments.download:
        screen.result(str(client.files.download(arguments.download, arguments.out)))
    elif arguments.delete:
        client.files.delete(arguments.delete)
    else:
        page = client.files.list(limit=arguments.limit)
        if screen.as_json:
            screen.answer(page)
            return OK
        rows = [
            (file.id, file.purpose, file.name, file.bytes, _moment(file.created_at))
            for file in page.data
        ]
        screen.table(("file", "purpose", "name", "bytes", "created"), rows)
    return OK


def _moment(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
