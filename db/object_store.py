"""Objects in an S3 bucket: inputs, outputs, references and leftovers, private and versioned.

    inputs/{user}/{job}/{name}            files of a job's input
    outputs/{user}/{job}/{attempt}-{name} files of an attempt, which no other one overwrites
    outputs/copies/{user}/{job}/{name}    outputs copied from an earlier job with the same input
    references/{user}/{name}              a persona's pictures
    temp/{job}/{name}                     deleted after a day

Clients never see a key, only signed links that expire.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import structlog
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Filter
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, S3Error, ServerError
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)
from minio.sseconfig import Rule as EncryptionRule
from minio.sseconfig import SSEConfig
from minio.versioningconfig import VersioningConfig

from db.errors import ObjectMissing, StoreUnavailable
from db.settings import StoreSettings
from db.signed_links import LinkSigner, response_headers

T = TypeVar("T")

# Below the outputs, for whose folder buckets have their rules and rights.
COPIES = "outputs/copies/"
TEMP_DAYS = 1
OLD_VERSION_DAYS = 7
PIECE_BYTES = 256 << 10
CONNECT_SECONDS = 2.0
READ_SECONDS = 30.0

_MISSING_CODES = ("NoSuchKey", "NoSuchObject", "NoSuchVersion")
# NoSuchBucket: the process that creates it at the first start has not done so yet.
_BUSY_CODES = ("ServiceUnavailable", "SlowDown", "InternalError", "RequestTimeout", "NoSuchBucket")

log = structlog.get_logger(__name__)


class StoredObject(NamedTuple):
    """A written object: hex SHA-256 and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ObjectInfo:
    """An object without its content; ``size`` in bytes, ``etag`` changes with the content."""

    key: str
    size: int
    modified: datetime | None
    etag: str = ""


def _part(value: str) -> str:
    if value in ("", ".", "..") or not value.isprintable() or not {"/", "\\"}.isdisjoint(value):
        raise ValueError(f"not a part of an object key: {value!r}")
    return value


def input_key(user_id: str, job_id: str, name: str) -> str:
    """Build a key; raises ValueError, as its siblings do, for a part that could change the path."""
    return f"inputs/{_part(user_id)}/{_part(job_id)}/{_part(name)}"


def output_key(user_id: str, job_id: str, attempt: int, name: str) -> str:
    return f"outputs/{_part(user_id)}/{_part(job_id)}/{attempt}-{_part(name)}"


def copy_key(user_id: str, job_id: str, name: str) -> str:
    return f"{COPIES}{_part(user_id)}/{_part(job_id)}/{_part(name)}"


def reference_key(user_id: str, name: str) -> str:
    return f"references/{_part(user_id)}/{_part(name)}"


def temp_key(job_id: str, name: str) -> str:
    return f"temp/{_part(job_id)}/{_part(name)}"


def _client(endpoint: str, settings: StoreSettings) -> Minio:
    url = urlsplit(endpoint)
    return Minio(
        url.netloc,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.s3_region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            maxsize=16,
            retries=urllib3.Retry(
                total=2, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]
            ),
        ),
    )


def _objects_url(signer: Minio, bucket: str) -> str:
    """Return the address below which the bucket's objects lie: MinIO knows how providers do it."""
    link = signer.presigned_get_object(bucket, "any")
    return link.partition("?")[0].removesuffix("any")


class ObjectStore:
    """A client of the bucket. Calls run in a thread: a slow store never blocks the event loop.

    Every call raises :class:`db.errors.StoreUnavailable` if the store cannot be reached.
    """

    def __init__(self, client: Minio, signer: Minio, links: LinkSigner, bucket: str) -> None:
        self._client = client
        self._signer = signer
        self._links = links
        self._bucket = bucket

    @classmethod
    def open(cls, settings: StoreSettings) -> ObjectStore:
        """Make a client that connects when first used; links are signed for the public address."""
        client = _client(settings.s3_endpoint, settings)
        public, bucket = settings.s3_public_endpoint, settings.s3_bucket
        signer = _client(public, settings) if public else client
        links = LinkSigner(
            _objects_url(signer, bucket),
            settings.s3_region,
            settings.s3_access_key.get_secret_value(),
            settings.s3_secret_key.get_secret_value(),
        )
        return cls(client, signer, links, bucket)

    async def create(self) -> None:
        """Create the bucket if it is not there; one that is stays as it is configured."""
        await self._call(self._make_bucket)

    async def prepare(self) -> None:
        """Create and configure the bucket; may be called at every start.

        Features that a backend lacks (some have no lifecycle or encryption) are logged and skipped.
        """
        await self.create()
        for feature, switch_on in (
            ("privacy", self._make_private),
            ("versioning", self._enable_versioning),
            ("lifecycle", self._set_lifecycle),
            ("encryption", self._enable_encryption),
        ):
            try:
                await self._call(switch_on)
            except S3Error as error:
                log.warning("object_store_lacks", feature=feature, code=error.code)

    async def ping(self) -> None:
        """Raise StoreUnavailable if the bucket cannot be read."""
        if not await self._call(lambda: self._client.bucket_exists(self._bucket)):
            raise StoreUnavailable("objects", "no bucket")

    async def put_file(self, key: str, path: Path, content_type: str) -> StoredObject:
        """Upload a file."""

        def put() -> StoredObject:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
                file.seek(0)
                self._client.put_object(
                    self._bucket, key, file, length=size, content_type=content_type
                )
            return StoredObject(digest, size)

        return await self._call(put)

    async def put_bytes(self, key: str, content: bytes, content_type: str) -> StoredObject:
        def put() -> StoredObject:
            self._client.put_object(
                self._bucket, key, BytesIO(content), length=len(content), content_type=content_type
            )
            return StoredObject(hashlib.sha256(content).hexdigest(), len(content))

        return await self._call(put)

    async def copy(self, source: str, key: str) -> None:
        """Copy an object within the bucket.

        Raises:
            ObjectMissing: there is no such object.
        """
        where = CopySource(self._bucket, source)
        await self._call(lambda: self._client.copy_object(self._bucket, key, where), source)

    async def compose(self, sources: Sequence[str], key: str) -> None:
        """Make one object of several, in their order; all but the last have at least 5 MiB.

        Raises:
            ObjectMissing: a source is missing.
        """
        if len(sources) == 1:
            await self.copy(sources[0], key)
        else:
            parts = [ComposeSource(self._bucket, source) for source in sources]
            await self._call(lambda: self._client.compose_object(self._bucket, key, parts), key)

    async def get_bytes(self, key: str) -> bytes:
        """Read an object into memory; for pictures.

        Raises:
            ObjectMissing: there is no such object.
        """

        def get() -> bytes:
            response = self._client.get_object(self._bucket, key)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

        return await self._call(get, key)

    @asynccontextmanager
    async def reading(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an object and yield its content in pieces of ``PIECE_BYTES``, never all of it.

        Raises:
            ObjectMissing: there is no such object.
        """
        response = await self._call(lambda: self._client.get_object(self._bucket, key), key)

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await self._call(lambda: response.read(PIECE_BYTES)):
                yield piece

        try:
            yield pieces()
        finally:
            response.close()
            response.release_conn()

    async def get_file(self, key: str, path: Path) -> None:
        """Download into ``path``, whole or not at all.

        Raises:
            ObjectMissing: there is no such object.
        """
        await self._call(lambda: self._client.fget_object(self._bucket, key, str(path)), key)

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """List the objects whose keys begin with ``prefix``, in key order."""

        def listed() -> Sequence[ObjectInfo]:
            return [
                ObjectInfo(
                    item.object_name,
                    item.size or 0,
                    item.last_modified,
                    (item.etag or "").strip('"'),
                )
                for item in self._client.list_objects(self._bucket, prefix, recursive=True)
                if item.object_name is not None
            ]

        return await self._call(listed)

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects with all their versions; missing objects are no error.

        Raises:
            StoreUnavailable: some were not deleted; a second call deletes the rest.
        """
        to_delete = list(keys)
        await self._call(lambda: self._erase(to_delete))

    def presign_get(
        self,
        key: str,
        expires: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
        since: datetime | None = None,
    ) -> str:
        """Sign a link that reads one object until it expires (at most 7 days).

        It is signed locally, even for an object that does not exist. ``filename`` is the name that
        browsers save it under; ``since`` when the time begins, now if it is left out.
        """
        headers = response_headers(filename, content_type)
        begins = since or datetime.now(UTC)
        return self._links.sign(key, int(expires.total_seconds()), begins, headers)

    def presign_post(self, key: str, size: int, expires: timedelta) -> tuple[str, dict[str, str]]:
        """Sign a form that writes one object of exactly ``size`` bytes until it expires.

        Returns where to send it, and its fields; the content is the last one, named ``file``.
        """
        policy = PostPolicy(self._bucket, datetime.now(UTC) + expires)
        policy.add_equals_condition("key", key)
        policy.add_content_length_range_condition(size, size)
        url = _objects_url(self._signer, self._bucket)
        return url, {"key": key, **self._signer.presigned_post_policy(policy)}

    async def _call(self, function: Callable[[], T], key: str = "") -> T:
        try:
            return await asyncio.to_thread(function)
        except S3Error as error:
            if error.code in _MISSING_CODES:
                raise ObjectMissing(key) from error
            if error.code in _BUSY_CODES:
                raise StoreUnavailable("objects", error.code) from error
            raise
        except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError) as error:
            raise StoreUnavailable("objects", type(error).__name__) from error

    def _make_bucket(self) -> None:
        try:
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def _make_private(self) -> None:
        try:
            self._client.delete_bucket_policy(self._bucket)
        except S3Error as error:
            if error.code != "NoSuchBucketPolicy":
                raise

    def _enable_versioning(self) -> None:
        self._client.set_bucket_versioning(self._bucket, VersioningConfig(ENABLED))

    def _set_lifecycle(self) -> None:
        rules = [
            Rule(
                ENABLED,
                rule_filter=Filter(prefix="temp/"),
                rule_id="temp",
                expiration=Expiration(days=TEMP_DAYS),
                noncurrent_version_expiration=NoncurrentVersionExpiration(
                    noncurrent_days=TEMP_DAYS
                ),
            ),
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=""),
                rule_id="old-versions",
                noncurrent_version_expiration=NoncurrentVersionExpiration(
                    noncurrent_days=OLD_VERSION_DAYS
                ),
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(
                    days_after_initiation=1
                ),
            ),
        ]
        self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig(rules))

    def _enable_encryption(self) -> None:
        self._client.set_bucket_encryption(
            self._bucket, SSEConfig(EncryptionRule.new_sse_s3_rule())
        )

    def _erase(self, keys: Sequence[str]) -> None:
        doomed = [
            DeleteObject(key, version.version_id)
            for key in keys
            for version in self._client.list_objects(
                self._bucket, key, recursive=True, include_version=True
            )
            if version.object_name == key
        ]
        failed = [error.code for error in self._client.remove_objects(self._bucket, doomed)]
        if any(code not in _MISSING_CODES for code in failed):
            raise StoreUnavailable("objects", "some objects were not erased")
