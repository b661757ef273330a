"""The interface between the service and a generator.

The author of a generator writes a :class:`GeneratorSpec` with its request, price and resources
(``spec.py``, which imports no torch), and a :class:`Generator` (``generator.py``). The runner does
the rest: claims, leases, uploads, billing and retries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from billing.prices import PriceLine, total
from deployments.job_log import Level

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.inference.inference import Inference
    from models.profiles.load import Profile

Req = TypeVar("Req", bound="Request")
ReqIn = TypeVar("ReqIn", bound="Request", contravariant=True)

# How a job can be repeated: numpy and torch take as much.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Request(BaseModel):
    """Base of every generator's input: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Seed | None = None


class Stopped(Exception):
    """The job was stopped. Every call of a Context raises this; generators let it through."""


class JobFailure(Exception):
    """Why a job fails, as its owner reads it; the job costs nothing."""

    title: ClassVar[str]
    retryable: ClassVar[bool]

    def __init__(self, detail: str, code: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code


class BadInput(JobFailure):
    """The input turned out unusable once looked at."""

    title = "The input cannot be used"
    retryable = False

    def __init__(self, detail: str, code: str = "bad_input") -> None:
        super().__init__(detail, code)


class Unavailable(JobFailure):
    """Something that the job needs is taken or gone for the moment; a later try may succeed."""

    title = "The service is busy"
    retryable = True


@dataclass(frozen=True)
class GeneratorSpec(Generic[Req]):
    """The description of a generator, without the code that runs it.

    ``entry`` is ``"module:Class"`` of the Generator; it is imported in the replica only, so that
    reading the catalogue never loads torch. ``price`` must be pure: the job stores its quote.
    ``num_gpus`` is the share of a card that a replica claims beside the card's manager, which does
    its work there: twelve of the default fit beside one.
    ``unsupported`` returns the fields that the models of a profile cannot follow, each with the
    reason; such a request is refused where the profile is known.
    """

    name: str
    title: str
    description: str
    request: type[Req]
    price: Callable[[Req], list[PriceLine]]
    price_version: str
    entry: str
    expected_seconds: float
    max_seconds: float
    concurrency: int = 1
    num_gpus: float = 0.04
    unsupported: Callable[[Req, Profile], dict[str, str]] | None = None

    def quote(self, request: Req) -> int:
        """The credits ``request`` costs."""
        return total(self.price(request))


@dataclass(frozen=True)
class Artifact:
    """One file that a generator wrote into the job's work directory."""

    path: Path
    kind: str
    content_type: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Persona:
    """A saved person, whom an input names by ``PersonaId``; ``images`` are pictures of them."""

    id: str
    name: str
    description: str
    images: tuple[Path, ...]


@dataclass(frozen=True)
class EarlierJob:
    """A finished job of the same owner, which an input names by ``JobId``.

    ``input`` is its request, ``seed`` its seed, and ``files`` has its outputs by name.
    """

    id: str
    generator: str
    input: dict[str, Any]
    seed: int
    files: dict[str, Path]


class Context(Protocol):
    """The running job. Every call raises Stopped after the job was stopped."""

    @property
    def seed(self) -> int: ...
    @property
    def workdir(self) -> Path: ...
    @property
    def inference(self) -> Inference:
        """The models of the installed profile, at work for this job."""
        ...

    @property
    def inputs(self) -> dict[str, Path]:
        """The input's media as local files, by field: ``init_image``, ``garments.0.image``."""
        ...

    @property
    def personas(self) -> dict[str, Persona]:
        """The personas that the input names, by id."""
        ...

    @property
    def earlier(self) -> dict[str, EarlierJob]:
        """The finished jobs that the input names, by id."""
        ...

    @property
    def kept(self) -> dict[str, Path]:
        """The files that earlier attempts at this job kept, by file name."""
        ...

    def keep(self, path: Path) -> None:
        """Save a finished part (a file of ``workdir``) for later attempts at this job.

        The file is read later, in the background: do not change it. Saving is best effort.
        """
        ...

    def progress(self, fraction: float, stage: str) -> None:
        """Report the progress, ``fraction`` in 0..1, and the name of the current stage."""
        ...

    def preview(self, image: Image) -> None:
        """Publish an intermediate picture.

        It is dropped within a second of the last one, and while nobody follows the job.
        """
        ...

    def charge_only(self, share: float) -> None:
        """Have the job charged ``share`` (0..1) of its quote: what of the order is delivered."""
        ...

    def note(self, **values: Any) -> None:
        """Add facts to the job's metadata document: model, steps, plan, timings."""
        ...

    def log(self, message: str, level: Level = "info") -> None:
        """Add a line to the log that the job's owner reads; paths and secrets are taken out."""
        ...


class Generator(Protocol[ReqIn]):
    """Generates artifacts. ``generate`` runs in a thread, possibly in several at a time.

    The replica makes one object, without arguments, and keeps it.
    """

    def generate(self, request: ReqIn, context: Context) -> list[Artifact]: ...


@dataclass
class Notes:
    """A job's facts, stage timings and log lines, which become its metadata document."""

    values: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
