"""The seam between the service and a generator.

An author of a generator needs this file and nothing else: a :class:`GeneratorSpec` that says what
the generator takes, costs and needs (``spec.py``, imports no torch), and a :class:`Generator` that
makes it (``generator.py``). Claiming, leases, uploads, billing and retries are the runner's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from billing.prices import PriceLine, total

if TYPE_CHECKING:
    from PIL.Image import Image

Req = TypeVar("Req", bound="Request")
ReqIn = TypeVar("ReqIn", bound="Request", contravariant=True)

# How a job can be repeated: numpy and torch take as much.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Request(BaseModel):
    """Base of every generator's input: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Seed | None = None


class Canceled(Exception):
    """The job was cancelled; raised by each call of a Context, to be let through."""


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
    """What a generator is, without the means to run it.

    ``entry`` is ``"module:Class"`` of the Generator; it is imported in the replica only, so that
    reading the catalogue never loads torch. ``price`` must be pure: the quote is kept on the job.
    """

    name: str
    title: str
    description: str
    request: type[Req]
    price: Callable[[Req], list[PriceLine]]
    price_version: str
    entry: str
    num_gpus: float
    expected_seconds: float
    max_seconds: float
    concurrency: int = 1

    def quote(self, request: Req) -> int:
        """The credits ``request`` costs."""
        return total(self.price(request))


@dataclass(frozen=True)
class Artifact:
    """One file a generator made, inside the work directory it was given."""

    path: Path
    kind: str
    content_type: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Runtime:
    """What a replica offers its generator: the profile's name and the share of a GPU (0: none)."""

    profile: str
    num_gpus: float = 0.0


@dataclass(frozen=True)
class Persona:
    """Somebody saved, whom an input names by ``PersonaId``; ``images`` show who it is."""

    id: str
    name: str
    description: str
    images: tuple[Path, ...]


@dataclass(frozen=True)
class EarlierJob:
    """A finished job of the same owner, which an input names by ``JobId``.

    ``input`` is what was asked, ``seed`` what it was made with, ``files`` its outputs by name.
    """

    id: str
    generator: str
    input: dict[str, Any]
    seed: int
    files: dict[str, Path]


class Context(Protocol):
    """A running job as its generator sees it. Every call raises Canceled once it was cancelled."""

    @property
    def seed(self) -> int: ...
    @property
    def workdir(self) -> Path: ...
    @property
    def inputs(self) -> dict[str, Path]:
        """The input's media as local files, by place: ``init_image``, ``garments.0.image``."""
        ...

    @property
    def personas(self) -> dict[str, Persona]:
        """The personas the input names, by id."""
        ...

    @property
    def earlier(self) -> dict[str, EarlierJob]:
        """The finished jobs the input names, by id."""
        ...

    @property
    def kept(self) -> dict[str, Path]:
        """What lost attempts at this job kept, by file name."""
        ...

    def keep(self, path: Path) -> None:
        """Save a finished part (a file of ``workdir``) for the case that this attempt is lost.

        The file is read later, in the background: leave it as it is. Keeping is best effort.
        """
        ...

    def progress(self, fraction: float, stage: str) -> None:
        """Tell how far the job is: ``fraction`` of 0..1 and what is being done."""
        ...

    def preview(self, image: Image) -> None:
        """Show an intermediate picture; dropped if the last one was shown a moment ago."""
        ...

    def note(self, **values: Any) -> None:
        """Keep facts for the job's metadata: model, steps, plan, timings."""
        ...


class Generator(Protocol[ReqIn]):
    """Makes artifacts. ``generate`` runs in a thread, possibly several at a time."""

    def load(self, runtime: Runtime) -> None: ...
    def generate(self, request: ReqIn, context: Context) -> list[Artifact]: ...


@dataclass
class Notes:
    """The facts and stage timings a job gathered; becomes its metadata document."""

    values: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
