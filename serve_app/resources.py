"""The clients of an ingress (stores, queues, Stripe): opened at start, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.stripe.gateway import StripeGateway
from db.batching import Batched
from db.documents import JobDocuments, open_documents
from db.jobs import queries
from db.jobs.versions import JobVersion, WantedPage, find_pages
from db.object_store import ObjectStore
from db.read_replica import ReadSessions
from db.redis.client import open_redis
from db.redis.queue import JobQueue, read_positions
from db.session import Sessions, make_sessions, make_statement_sessions, open_engine, read_again
from db.tables import Job
from deployments.contract import GeneratorSpec
from models.profiles.load import Profile, UnknownProfile, load_profile
from serve_app.auth import api_keys
from serve_app.auth.api_keys import ValidKey
from serve_app.auth.device_tokens import DeviceTokens
from serve_app.auth.failed_attempts import FailedAttempts
from serve_app.auth.identity_cache import IdentityCache
from serve_app.auth.identity_changes import IdentityChanges
from serve_app.auth.passwords import PasswordHashing
from serve_app.auth.tokens import AccessTokens
from serve_app.http.body import LargeBodies
from serve_app.http.metrics import Metrics
from serve_app.http.rate_limit import RateLimiter
from serve_app.http.rates import RateTable
from serve_app.jobs.job_watch import JobWatch
from serve_app.jobs.kept_views import KeptViews
from serve_app.jobs.push_confirmations import PushConfirmations
from serve_app.limits.open_streams import OpenStreams
from serve_app.limits.running_exports import RunningExports
from serve_app.settings import Settings

log = structlog.get_logger()

Catalog = Mapping[str, GeneratorSpec[Any]]
# Running replicas by generator, or None without Ray Serve around this process.
ReplicaCounts = Callable[[], Awaitable[Mapping[str, int] | None]]


# Requests of calls that take turns (``serve_app.routing.in_turn``) let in at a time.
TURNS = 2


@dataclass(frozen=True)
class Clients:
    """The open clients.

    ``read_sessions`` is for lists that may be a few seconds old, ``statements`` for single
    statements, ``sessions`` for all else.
    """

    settings: Settings
    catalog: Catalog
    engine: AsyncEngine
    sessions: Sessions
    statements: Sessions
    read_sessions: ReadSessions
    redis: Redis
    queues: Mapping[str, JobQueue]
    objects: ObjectStore
    documents: JobDocuments
    tokens: AccessTokens
    identities: IdentityCache
    identity_changes: IdentityChanges
    # Many requests at a time, for what nearly every request asks.
    find_key: Batched[str, ValidKey | None]
    find_job: Batched[tuple[str, str], Job | None]
    find_page: Batched[WantedPage, Sequence[JobVersion]]
    find_position: Batched[tuple[str, str], int | None]
    kept_views: KeptViews
    devices: DeviceTokens
    passwords: PasswordHashing
    attempts: FailedAttempts
    limiter: RateLimiter
    rates: RateTable
    large_bodies: LargeBodies
    turns: asyncio.Semaphore
    metrics: Metrics
    job_watch: JobWatch
    push_confirmations: PushConfirmations
    open_streams: OpenStreams
    running_exports: RunningExports
    replicas: ReplicaCounts
    profile: Profile | None  # of the replicas; None: each selects its own
    stripe: StripeGateway | None  # None: billing is disabled


def known_profile(name: str | None) -> Profile | None:
    """Return the profile that the replicas run, ``None`` if this process cannot know it."""
    if name is None:
        return None
    try:
        return load_profile(name)
    except UnknownProfile as error:  # an operator's own, which may lie with the replicas alone
        log.warning("profile_unknown", error=str(error))
        return None


def open_clients(
    settings: Settings,
    catalog: Catalog,
    metrics: Metrics,
    replicas: ReplicaCounts,
    profile: Profile | None = None,
) -> Clients:
    """Make the clients; each connects when first used, so that an ingress starts while a store is
    down."""
    redis_url = settings.stores.redis_url.get_secret_value()
    engine = open_engine(settings.stores.database_url.get_secret_value())
    sessions, statements = make_sessions(engine), make_statement_sessions(engine)
    replica_url = settings.stores.database_replica_url
    reading = ReadSessions(statements, replica_url.get_secret_value() if replica_url else None)
    redis = open_redis(redis_url)
    identities = IdentityCache(settings.auth.identity_cache_seconds)
    return Clients(
        settings=settings,
        catalog=catalog,
        engine=engine,
        sessions=sessions,
        statements=statements,
        read_sessions=reading,
        redis=redis,
        queues={name: JobQueue.open(redis_url, name) for name in catalog},
        objects=ObjectStore.open(settings.stores),
        documents=open_documents(settings.stores, sessions),
        tokens=AccessTokens(settings.auth),
        identities=identities,
        identity_changes=IdentityChanges(engine, statements, identities),
        find_key=Batched(lambda keys: read_again(partial(api_keys.find_all, statements, keys))),
        find_job=Batched(lambda jobs: read_again(partial(queries.find_owned, statements, jobs))),
        find_page=Batched(
            lambda wanted: read_again(partial(reading, partial(find_pages, wanted=wanted)))
        ),
        find_position=Batched(partial(read_positions, redis)),
        kept_views=KeptViews(),
        devices=DeviceTokens(settings.auth),
        passwords=PasswordHashing(),
        attempts=FailedAttempts(redis),
        limiter=RateLimiter(redis),
        rates=RateTable(
            settings.limits.rate_limit_per_minute,
            settings.limits.rate_limits,
            settings.limits.rate_limit_key_percent,
        ),
        large_bodies=LargeBodies(),
        turns=asyncio.Semaphore(TURNS),
        metrics=metrics,
        job_watch=JobWatch(redis, sessions),
        push_confirmations=PushConfirmations(sessions),
        open_streams=OpenStreams(settings.limits.max_streams, metrics.streams),
        running_exports=RunningExports(),
        replicas=replicas,
        profile=profile,
        stripe=StripeGateway(settings.stripe) if settings.stripe.billing_enabled else None,
    )


async def close_clients(clients: Clients) -> None:
    """Close all clients even if one raises; waits a few seconds at most."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(clients.engine.dispose)
        stack.push_async_callback(_quietly, clients.push_confirmations.confirm())
        stack.callback(clients.passwords.close)
        stack.push_async_callback(_quietly, clients.read_sessions.close())
        stack.push_async_callback(_quietly, clients.redis.aclose())
        for queue in clients.queues.values():
            stack.push_async_callback(_quietly, queue.close())
        stack.push_async_callback(_quietly, clients.documents.close())
        if clients.stripe is not None:
            stack.push_async_callback(_quietly, clients.stripe.close())


async def _quietly(closing: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(3):
            await closing
    except Exception as error:
        log.warning("close_failed", error=type(error).__name__)
