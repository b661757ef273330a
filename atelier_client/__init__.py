"""A client of Atelier: ``Client`` blocks, ``AsyncClient`` is awaited; docs/client.md shows both.

    from atelier_client import Client

    with Client("http://127.0.0.1:8000", "atl_...") as client:
        job = client.run("image", {"prompt": "a red circle on a blue background"})
        job.outputs[0].save("circle.png")

It needs httpx and pydantic, and nothing of the service.
"""

from atelier_client.batches import Batch, BatchResult
from atelier_client.client import AsyncClient, Client
from atelier_client.errors import (
    ApiError,
    AtelierError,
    BadInput,
    BatchTimedOut,
    Conflict,
    ConnectionFailed,
    DownloadCorrupted,
    Forbidden,
    InvalidWebhook,
    JobFailed,
    NotEnoughCredits,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    WaitTimedOut,
)
from atelier_client.events import DoneEvent, JobEvent, PreviewEvent, ProgressEvent, StatusEvent
from atelier_client.jobs import Job, Output
from atelier_client.retries import Retries
from atelier_client.webhooks import WebhookEvent, verify_webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "AtelierError",
    "BadInput",
    "Batch",
    "BatchResult",
    "BatchTimedOut",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DoneEvent",
    "DownloadCorrupted",
    "Forbidden",
    "InvalidWebhook",
    "Job",
    "JobEvent",
    "JobFailed",
    "NotEnoughCredits",
    "NotFound",
    "Output",
    "PreviewEvent",
    "ProgressEvent",
    "RateLimited",
    "Retries",
    "StatusEvent",
    "Unauthorized",
    "Unavailable",
    "WaitTimedOut",
    "WebhookEvent",
    "verify_webhook",
]
